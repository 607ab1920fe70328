"""Bits by the spread of channels, in closed form: the default for weights. A part of ``allocation``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onnxq.allocation.base import ALLOCATIONS, MAX_BITS, Allocation, BitArray, FloatArray, budget_of


@ALLOCATIONS.register("by-spread")
@dataclass(frozen=True)
class BySpread(Allocation):
    """``allocate_by_spread``."""

    def widths(
        self, spread: FloatArray, error: Callable[[], FloatArray], bits: float, most: int = MAX_BITS
    ) -> BitArray:
        """As ``Allocation.widths``."""
        return allocate_by_spread(spread, bits, most)


def allocate_by_spread(spread: FloatArray, bits: float, most: int = MAX_BITS) -> BitArray:
    """The closed form of Banner et al. 2019 (eq. 10 and 11): 2^bits_i proportional to spread_i^(2/3).

    The paper rounds each width by itself, and its code then searches for a target that meets the budget, not always
    with success. Here the common factor is solved for with widths clamped to 0 .. ``most``, and the fractions that
    rounding down leaves are made up by the largest remainders.

    Args:
        spread: float64 [C], sigma or b of each channel, not negative.
        bits: the mean width, 0 to ``most``. most: 8, or less.

    Returns:
        int32 [C].

    >>> allocate_by_spread(np.array([1.0, 2.0, 4.0, 8.0]), 4)
    array([3, 4, 4, 5], dtype=int32)
    """
    budget = budget_of(len(spread), bits, most)
    floor = max(float(spread.max(initial=0)) * 2.0**-30, 1e-300)  # a constant channel: as good as nothing
    wish = np.log2(np.maximum(spread, floor)) * (2 / 3)
    low, high = -wish.max(initial=0.0), most - wish.min(initial=0.0)  # all widths 0, all as wide as can be
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(wish + middle, 0, most).sum() < budget else (low, middle)
    real = np.clip(wish + high, 0, most)
    widths = np.floor(real + 1e-9).astype(np.int32)
    remainder = np.where(widths < most, real - widths, -1)
    missing = budget - int(widths.sum())
    widths[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return widths
