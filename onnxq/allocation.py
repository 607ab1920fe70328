"""Bits for each channel, so that the mean width is what was asked for.

Both functions spend the budget to the last bit: the widths sum to floor(channels * bits), each between 0 and 8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]

MAX_BITS = 8
WIDTHS = MAX_BITS + 1  # 0 .. 8


def allocate_by_spread(spread: FloatArray, bits: float) -> BitArray:
    """The closed form of Banner et al. 2019 (eq. 10 and 11): 2^bits_i proportional to spread_i^(2/3).

    The paper rounds each width by itself, and its code then searches for a target that meets the budget, not always
    with success. Here the common factor is solved for with widths clamped to 0 .. 8, and the fractions that rounding
    down leaves are made up by the largest remainders.

    Args:
        spread: float64 [C], sigma or b of each channel, not negative.
        bits: the mean width, 0 to 8.

    Returns:
        int32 [C].

    >>> allocate_by_spread(np.array([1.0, 2.0, 4.0, 8.0]), 4)
    array([3, 4, 4, 5], dtype=int32)
    """
    budget = budget_of(len(spread), bits)
    floor = max(float(spread.max(initial=0)) * 2.0**-30, 1e-300)  # a constant channel: as good as nothing
    wish = np.log2(np.maximum(spread, floor)) * (2 / 3)
    low, high = -wish.max(initial=0.0), MAX_BITS - wish.min(initial=0.0)  # all widths 0, all widths 8
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(wish + middle, 0, MAX_BITS).sum() < budget else (low, middle)
    real = np.clip(wish + high, 0, MAX_BITS)
    widths = np.floor(real + 1e-9).astype(np.int32)
    remainder = np.where(widths < MAX_BITS, real - widths, -1)
    missing = budget - int(widths.sum())
    widths[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return widths


def allocate_by_error(error: FloatArray, bits: float) -> BitArray:
    """The widths of smallest total error: every bit goes where it removes most.

    Where a single bit would gain less than the next one (error is not convex in the width), the average gain over
    both counts, so that a channel is not passed over for its first bit alone.

    Args:
        error: float64 [C, 9], the error of each channel at widths 0 to 8.
        bits: the mean width, 0 to 8.

    Returns:
        int32 [C].

    >>> flat, steep = 4.0 ** -np.arange(9), 100 * 4.0 ** -np.arange(9)
    >>> allocate_by_error(np.stack([flat, steep]), 3)
    array([1, 5], dtype=int32)
    """
    gain = np.empty((len(error), MAX_BITS))
    for step in range(MAX_BITS):  # isotonic regression of the gains, by its min-max formula
        upper = np.full(len(error), np.inf)
        for start in range(step + 1):
            means = [(error[:, start] - error[:, stop]) / (stop - start) for stop in range(step + 1, WIDTHS)]
            upper = np.minimum(upper, np.max(means, axis=0))
        gain[:, step] = upper
    best = np.argsort(-gain, axis=None, kind="stable")[: budget_of(len(error), bits)]
    return np.bincount(best // MAX_BITS, minlength=len(error)).astype(np.int32)


def budget_of(channels: int, bits: float) -> int:
    """Bits to spend on all channels together."""
    return int(np.floor(channels * min(bits, MAX_BITS) + 1e-9))
