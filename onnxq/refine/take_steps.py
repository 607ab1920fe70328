"""Take steps one after the other, and undo those that take the network away from the float one. A part of ``refine``.

Called by the flow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxq.recipe.steps import STEPS
from onnxq.refine.held_back import HeldBack
from onnxq.refine.judge import Judge
from onnxq.refine.refinement import Draft, Refinement, Run

START = "start"  # what the network is called before any step


@dataclass(frozen=True)
class Distances:
    """How far the network was from the float one on images held back, ``Judge.distance``, after each step.

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

    Where no images are held back, all steps are taken.

    Raises:
        OnnxqError: see ``Refinement.apply``.
    """
    judge: Judge | None = None
    way: list[tuple[str, float]] = []
    undone: list[str] = []
    for step in steps:
        refined = step.apply(draft, images, run)
        if judge is None and images.kept:  # a step of its own may have gone through the images: that is enough
            judge = Judge(images.kept, run)
            way.append((START, judge.distance(draft)))
        if judge is not None:
            name, before, after = STEPS.name_of(step), way[-1][1], judge.distance(refined)
            if not after <= before:
                undone.append(
                    f"step {name} was undone: it took the network from {before:.4g} to {after:.4g} away from the "
                    "float one, on images held back"
                )
                continue
            way.append((name, after))
        draft = refined
    held = sum(map(len, judge.batches)) if judge is not None else 0
    return replace(draft, notes=(*draft.notes, *undone)), Distances(held, tuple(way))
