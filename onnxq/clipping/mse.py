"""The interval of smallest squared error, by search on the histogram. A clipping rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping
from onnxq.core.observed import Interval, Observed
from onnxq.formats.affine import affine_params

FloatArray = NDArray[np.float64]

SHRINK = np.geomspace(1, 0.05, 28)  # both ends together
REFINE = (0.85, 0.95, 1.05, 1.15)  # then each by itself


@CLIPPINGS.register("mse")
@dataclass(frozen=True)
class Mse(Clipping):
    """The smallest expected squared error; of symmetric formats too, which search for themselves."""

    symmetric: ClassVar[bool] = True

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """As ``Clipping.interval``."""
        return mse_interval(observed.histogram, observed.anchor, *observed.limits, bits)


def mse_interval(
    histogram: NDArray[np.int64], anchor: FloatArray, minimum: FloatArray, maximum: FloatArray, bits: NDArray[np.int32]
) -> tuple[FloatArray, FloatArray]:
    """Shrink the seen range, towards zero or its end next to zero, until its expected squared error is smallest.

    Args:
        histogram: int64 [C, BINS]; anchor, minimum, maximum: float64 [C]. bits: int32 [C], 0 to 8.

    Returns:
        (lower, upper), float64 [C], within the seen range.
    """
    fixed = np.clip(0, minimum, maximum)
    best = [minimum, maximum, _error(histogram, anchor, minimum, maximum, bits)]

    def consider(lower: FloatArray, upper: FloatArray) -> None:
        lower, upper = np.clip(lower, minimum, fixed), np.clip(upper, fixed, maximum)
        error = _error(histogram, anchor, lower, upper, bits)
        better = error < best[2]
        best[:] = [np.where(better, new, old) for new, old in zip((lower, upper, error), best, strict=True)]

    for factor in SHRINK[1:]:
        consider(fixed + (minimum - fixed) * factor, fixed + (maximum - fixed) * factor)
    for factor in REFINE:
        consider(fixed + (best[0] - fixed) * factor, best[1])
        consider(best[0], fixed + (best[1] - fixed) * factor)
    return best[0], best[1]


def _error(
    histogram: NDArray[np.int64], anchor: FloatArray, lower: FloatArray, upper: FloatArray, bits: NDArray[np.int32]
) -> FloatArray:
    return affine_params(lower, upper, bits).expected_squared_error(histogram, anchor)
