"""Clipping thresholds of levels that are fixed but for a scale, by search for the smallest squared error.

A part of ``formats``, called by those whose range is symmetric or has one threshold.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnxq.core.observed import Observed
from onnxq.core.qparams import StaticParams

FloatArray = NDArray[np.float64]

FACTORS = 1.05 ** -np.arange(0, 64.0)  # of the reach: from all of it to 4.6 percent, a step being 5 percent
REFINE = (0.99, 0.98, 1.01, 1.02)


def search(reach: FloatArray, error_of: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The threshold of smallest error, at most ``reach``, for each channel by itself.

    Args:
        reach: float64 [C], the largest magnitude. error_of: thresholds [C] to errors [C].

    Returns:
        float64 [C].
    """
    best, least = reach, error_of(reach)
    for factor in FACTORS[1:]:
        error = error_of(reach * factor)
        best, least = np.where(error < least, reach * factor, best), np.minimum(error, least)
    coarse = best
    for factor in REFINE:
        candidate = np.minimum(coarse * factor, reach)
        error = error_of(candidate)
        best, least = np.where(error < least, candidate, best), np.minimum(error, least)
    return best


def histogram_threshold(observed: Observed, params_at: Callable[[FloatArray], StaticParams]) -> FloatArray:
    """The threshold whose parameters have the smallest expected error on the histogram, float64 [C].

    Args:
        params_at: thresholds [C] to parameters.
    """

    def error_of(alpha: FloatArray) -> FloatArray:
        return params_at(alpha).expected_squared_error(observed.histogram, observed.anchor)

    return search(observed.reach, error_of)


def value_threshold(rows: NDArray[np.floating], levels: NDArray[np.float32], bounds: NDArray[np.float32]) -> FloatArray:
    """The threshold at which ``threshold * levels`` are nearest to the values of each row; float64 [C].

    Values are sorted once; the error between two bounds then follows from running sums.

    Args:
        rows: [C, n]. levels: float32 [K], ascending, the largest 1. bounds: float32 [K - 1], those between them.
    """
    reach = np.abs(rows).max(axis=1).astype(np.float64)
    unit = np.where(reach > 0, reach, 1.0)
    values = np.sort(rows.astype(np.float64) / unit[:, None], axis=1)
    count = values.shape[1]
    row = np.arange(len(values))[:, None]
    keys = (values + 4.0 * row).reshape(-1)  # one ascending list: rows lie 4 apart
    sums, squares = (
        np.concatenate([np.zeros((len(values), 1)), np.cumsum(values**power, axis=1)], axis=1) for power in (1, 2)
    )
    limits, targets = bounds.astype(np.float64), levels.astype(np.float64)

    def error_of(alpha: FloatArray) -> FloatArray:
        scale = (alpha / unit)[:, None]
        place = np.searchsorted(keys, np.clip(limits * scale, -1.5, 1.5) + 4.0 * row) - count * row
        place = np.concatenate([np.zeros_like(row), place, np.full_like(row, count)], axis=1)
        number, first, second = (
            np.diff(table, axis=1)
            for table in (place, np.take_along_axis(sums, place, 1), np.take_along_axis(squares, place, 1))
        )
        level = targets * scale
        error: FloatArray = (second - 2 * level * first + level * level * number).sum(axis=1)
        return error

    return search(reach, error_of)
