"""Take steps one after the other, and undo those that take the network away from the float one. A part of ``refine``.

Called by the flow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxq.recipe.steps import STEPS
from onnxq.refine.held_back import HeldBack
from onnxq.refine.judge import Judge
from onnxq.refine.refinement import Draft, Refinement, Run

START = "start"  # what the network is called before any step that looks at images
FEWEST = 8  # images that can judge a step

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Distances:
    """How far the network was from the float one on images held back, ``Judge.distance``, after each step that
    looks at images.

    Attributes:
        images: how many were held back; 0 where no step was judged.
        steps: name of the step and distance, the first one before any step; those undone are not among them.
    """

    images: int = 0
    steps: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> str:
        """One line, for a file's metadata."""
        return json.dumps({"held_back_images": self.images, "steps": [list(step) for step in self.steps]})


def take_steps(draft: Draft, steps: Sequence[Refinement], images: HeldBack, run: Run) -> tuple[Draft, Distances]:
    """The draft after all steps that help, and how far it was from the float network on the way.

    Steps that look at no images are taken as they are, and so are all where fewer than eight images are held back.

    Raises:
        OnnxqError: see ``Refinement.apply``.
    """
    judge: Judge | None = None
    before = np.zeros(0)
    way: list[tuple[str, float]] = []
    undone: list[str] = []
    for step in steps:
        refined = step.apply(draft, images, run)
        if not step.judged:
            draft = refined
            continue
        if step.passes and judge is None and sum(map(len, images.kept)) >= FEWEST:
            judge = Judge(images.kept, run)
            before = judge.distances(draft)
            way = [(START, float(before.sum()))] if len(before) else []
        if step.passes and judge is not None and way:
            name, after = STEPS.name_of(step), judge.distances(refined)
            if _is_worse(before, after):
                undone.append(
                    f"step {name} was undone: it took the network from {before.sum():.4g} to {after.sum():.4g} away "
                    "from the float one, on images held back"
                )
                continue
            before = after
            way.append((name, float(after.sum())))
        draft = refined
    held = len(before) if way else 0
    return replace(draft, notes=(*draft.notes, *undone)), Distances(held, tuple(way))


def _is_worse(before: FloatArray, after: FloatArray) -> bool:
    """Whether distances of images grew, by more than one standard error of their sum."""
    if not np.isfinite(after).all():
        return bool(np.isfinite(before).all())
    growth = after - before
    return bool(growth.sum() > growth.std() * np.sqrt(len(growth)))
