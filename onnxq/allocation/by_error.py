"""Bits where they remove most error: the default for activations. A part of ``allocation``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onnxq.allocation.base import ALLOCATIONS, MAX_BITS, Allocation, BitArray, FloatArray, budget_of


@ALLOCATIONS.register("by-error")
@dataclass(frozen=True)
class ByError(Allocation):
    """``allocate_by_error``."""

    def widths(
        self, spread: FloatArray, error: Callable[[], FloatArray], bits: float, most: int = MAX_BITS
    ) -> BitArray:
        """As ``Allocation.widths``."""
        if budget_of(len(spread), bits, most) == len(spread) * most:  # no choice, and errors take long to tell
            return np.full(len(spread), most, np.int32)
        return allocate_by_error(error(), bits, most)


def allocate_by_error(error: FloatArray, bits: float, most: int = MAX_BITS) -> BitArray:
    """The widths of smallest total error: every bit goes where it removes most.

    Where a single bit would gain less than the next one (error is not convex in the width), the average gain over
    both counts, so that a channel is not passed over for its first bit alone.

    Args:
        error: float64 [C, 9], the error of each channel at widths 0 to 8.
        bits: the mean width, 0 to ``most``. most: 8, or less.

    Returns:
        int32 [C].

    >>> flat, steep = 4.0 ** -np.arange(9), 100 * 4.0 ** -np.arange(9)
    >>> allocate_by_error(np.stack([flat, steep]), 3)
    array([1, 5], dtype=int32)
    """
    gain = np.empty((len(error), most))
    for step in range(most):  # isotonic regression of the gains, by its min-max formula
        upper = np.full(len(error), np.inf)
        for start in range(step + 1):
            means = [(error[:, start] - error[:, stop]) / (stop - start) for stop in range(step + 1, most + 1)]
            upper = np.minimum(upper, np.max(means, axis=0))
        gain[:, step] = upper
    best = np.argsort(-gain, axis=None, kind="stable")[: budget_of(len(error), bits, most)]
    return np.bincount(best // most, minlength=len(error)).astype(np.int32)
