"""The interval of smallest squared error, by search on the histogram. A clipping rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping
from onnxq.core.histogram import HALF, bin_edges
from onnxq.core.observed import Interval, Observed
from onnxq.formats.affine import affine_params

FloatArray = NDArray[np.float64]

SHRINK = np.geomspace(1, 0.05, 28)  # both ends together
REFINE = (0.85, 0.95, 1.05, 1.15)  # then each by itself
SHIFT = 0.51  # steps by which zero on the grid can move a range
CERTAIN, ROUNDED = 1 + 1e-6, 1e-12  # so that rounded sums drop no range that is best


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
    counts = histogram.astype(np.float64)  # once, and not in each product
    fixed = np.clip(0, minimum, maximum)
    best_lower, best_upper = minimum.copy(), maximum.copy()
    best_error = _error(counts, anchor, minimum, maximum, bits)

    def consider(rows: NDArray[np.int64], lower: FloatArray, upper: FloatArray) -> None:
        lower = np.clip(lower[rows], minimum[rows], fixed[rows])
        upper = np.clip(upper[rows], fixed[rows], maximum[rows])
        error = _error(counts[rows], anchor[rows], lower, upper, bits[rows])
        better = error < best_error[rows]
        for best, new in ((best_lower, lower), (best_upper, upper), (best_error, error)):
            best[rows[better]] = new[better]

    factors = SHRINK[1:]
    lower, upper = (fixed[:, None] + (end - fixed)[:, None] * factors for end in (minimum, maximum))
    shift = SHIFT * (upper - lower) / np.maximum(np.exp2(bits) - 1, 1)[:, None]
    least = clipping_error(counts, anchor, lower - shift, upper + shift)  # what is lost inside not counted
    rows = np.arange(len(anchor))
    for index in range(len(factors)):
        rows = rows[least[rows, index] <= best_error[rows] * CERTAIN + anchor[rows] ** 2 * ROUNDED]  # it only grows
        consider(rows, lower[:, index], upper[:, index])
    rows = np.arange(len(anchor))
    for factor in REFINE:
        consider(rows, fixed + (best_lower - fixed) * factor, best_upper)
        consider(rows, best_lower, fixed + (best_upper - fixed) * factor)
    return best_lower, best_upper


def clipping_error(counts: FloatArray, anchor: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """What clipping loses at least: E[(x - clip(x, lower, upper))^2], each x taken for its bin's edge next to zero.

    Args:
        counts: float64 [C, BINS]; anchor: float64 [C]; lower, upper: float64 [C, F], ranges with zero in them or next
            to it.

    Returns:
        float64 [C, F].
    """
    inner = bin_edges()[HALF:-1]
    total = np.zeros_like(lower)
    for side, bound in ((counts[:, HALF:], upper), (counts[:, HALF - 1 :: -1], -lower)):
        reach = np.maximum(bound, 0) / anchor[:, None]
        first = np.searchsorted(inner, reach)  # bin that is beyond
        for power, factor in ((0, reach**2), (1, -2 * reach), (2, np.ones_like(reach))):
            beyond = np.cumsum((side * inner**power)[:, ::-1], axis=1)[:, ::-1]
            beyond = np.concatenate([beyond, np.zeros((len(anchor), 1))], axis=1)
            total += factor * np.take_along_axis(beyond, first, axis=1)
    return total * np.square(anchor)[:, None] / np.maximum(counts.sum(axis=1), 1)[:, None]


def _error(
    histogram: NDArray[Any], anchor: FloatArray, lower: FloatArray, upper: FloatArray, bits: NDArray[np.int32]
) -> FloatArray:
    return affine_params(lower, upper, bits).expected_squared_error(histogram, anchor)
