"""The published ACIQ system's arithmetic where onnxq computes something better, for comparison (``Recipe.published``).

What differs: multipliers rounded to a table, widths rounded one by one with a search for the budget that may not
converge, ranges that may exceed what was seen. Banner, Nahshan, Soudry, NeurIPS 2019, and its released code.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from onnxq.clipping.aciq import laplace_multiplier

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]

# alpha / b by bits 0 .. 8, with all bins on both sides and on one
LAPLACE = (1.05, 1.86, 2.83, 3.89, 5.03, 6.2, 7.41, 8.64, 9.89)
LAPLACE_HALF = (1.86, 2.83, 3.89, 5.02, 6.2, 7.41, 8.64, 9.89, 11.16)
# alpha / sigma by bits; there is none for 0 bits
GAUSS = (1.24, 1.24, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92)
GAUSS_HALF = (1.71, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92, 4.2)

ITERATIONS = 10
TOLERANCE = 0.01


def allocate(spread: FloatArray, bits: float, rounding: str = "round", *, search: bool = True) -> BitArray:
    """Widths by the published loop: rounded one by one, the target moved until their mean is near ``bits``.

    The mean may end above or below the goal: the last attempt is returned, converged or not.

    Args:
        spread: float64 [C]. bits: the goal. rounding: 'round' (half to even) or 'ceil'. search: False stops after the
            first attempt.

    Returns:
        int32 [C], 0 to 8.

    >>> allocate(np.array([1.0, 2.0, 4.0, 8.0]), 4, search=False)
    array([3, 3, 4, 5], dtype=int32)
    """
    share = spread ** (2 / 3)
    share = share / max(share.sum(), np.finfo(np.float64).tiny)

    def attempt(target: float) -> BitArray:
        with np.errstate(divide="ignore"):
            wish = np.log2(len(spread) * 2**target * share)
        return np.clip(np.rint(wish) if rounding == "round" else np.ceil(wish), 0, 8).astype(np.int32)

    target, delta = bits, 1.0
    widths = attempt(target)
    for _ in range(ITERATIONS if search else 0):
        if abs(2 * delta) <= TOLERANCE:
            break
        widths = attempt(target)
        delta = (bits - widths.mean()) / 2
        target += delta
    return widths


def mid_tread_bins(spread: FloatArray, bits: float) -> FloatArray:
    """Whole numbers of bins, round(C * 2^bits * spread^(2/3) / sum): they need not sum to the budget."""
    share = spread ** (2 / 3)
    return np.rint(len(spread) * 2**bits * share / max(share.sum(), np.finfo(np.float64).tiny))


@cache
def _multiplier_table() -> tuple[FloatArray, FloatArray]:
    """Numbers of bins, twenty a decade from 0.01 to 1000, and the Laplace threshold of each; 0 bins first."""
    decades = [np.linspace(start, 10 * start, 20, endpoint=False) for start in (0.01, 0.1, 1.0, 10.0, 100.0)]
    bins = np.concatenate([[0.0], *decades])
    return bins, np.array([0.0, *(laplace_multiplier(float(np.log2(n))) for n in bins[1:])])


def mid_tread_multiplier(bins: FloatArray) -> FloatArray:
    """alpha / b for numbers of bins, interpolated in a table as published; beyond it the exact optimum.

    >>> mid_tread_multiplier(np.array([16.0])).round(5)
    array([5.01546])
    """
    table_bins, table = _multiplier_table()
    exact = np.array([laplace_multiplier(float(np.log2(n))) if n > table_bins[-1] else 0.0 for n in bins])
    return np.where(bins > table_bins[-1], exact, np.interp(bins, table_bins, table))
