"""What a recipe knows of a refinement: its name and its parameters. The steps themselves are in ``refine``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.registry import Registry
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points


@dataclass(frozen=True)
class Step:
    """A refinement of a plan, with its own parameters (``onnxq.refine.Refinement`` does the work).

    Attributes:
        passes: how often it runs images through the network.
        needs_statistics: it reads the calibration statistics.
    """

    passes: ClassVar[int] = 0
    needs_statistics: ClassVar[bool] = False

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """What is wrong with its parameters, or does not go with quantizers there, a sentence each."""
        return []


# The home lies above: it is imported when a step is looked up by its name, and not before.
STEPS: Registry[Step] = Registry("step", "onnxq.refine")
CORRECT_BIASES = "correct-biases"  # the default, where statistics tell enough
ERROR_FEEDBACK = "gptq"  # the default, where there are images
RECONSTRUCT = "reconstruct"
BUDGET = "budget"


@STEPS.register("default")
@dataclass(frozen=True)
class Default(Step):
    """What is done where no steps are named, in a list with others."""


def expanded(steps: tuple[Step, ...] | None, usual: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps asked for, with what is usual in the place of ``default``, and of None."""
    if steps is None:
        return usual
    return tuple(step for asked in steps for step in (usual if isinstance(asked, Default) else (asked,)))


def does(steps: tuple[Step, ...] | None, name: str) -> bool:
    """Whether a step is named, or what is usual is to be done."""
    return steps is None or any(isinstance(step, Default) or STEPS.name_of(step) == name for step in steps)


def behind_budget(limits: Mapping[str, object], steps: tuple[Step, ...] | None) -> tuple[Step, ...]:
    """The steps asked for behind a budget of these limits, which takes the place of another one."""
    others = (step for step in steps or (Default(),) if STEPS.name_of(step) != BUDGET)
    return STEPS.parse({BUDGET: limits}), *others
