"""How weights become codes once their parameters are chosen. A part of ``recipe``, called by ``decide``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.qparams import WeightParams
from onnxq.core.registry import Registry
from onnxq.recipe.steps import ERROR_FEEDBACK


@dataclass(frozen=True)
class Rounding:
    """A way to round.

    Attributes:
        step: the name of the refinement that rounds anew, by what images show.
    """

    step: ClassVar[str | None] = None

    def codes(self, weight: NDArray[np.float32], params: WeightParams) -> NDArray[Any]:
        """Codes of a weight [C, ...], uint8 (uint16 above 8 bits) of its shape."""
        raise NotImplementedError


ROUNDINGS: Registry[Rounding] = Registry("rounding", "onnxq.recipe.rounding")


@ROUNDINGS.register("nearest")
@dataclass(frozen=True)
class Nearest(Rounding):
    """Each weight to its nearest level."""

    def codes(self, weight: NDArray[np.float32], params: WeightParams) -> NDArray[Any]:
        """As ``Rounding.codes``."""
        return params.codes(weight)


@ROUNDINGS.register("gptq")
@dataclass(frozen=True)
class ErrorFeedback(Nearest):
    """So that errors cancel in what a layer makes of images; to the nearest level before these are looked at."""

    step: ClassVar[str | None] = ERROR_FEEDBACK
