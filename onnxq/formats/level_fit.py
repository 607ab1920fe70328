"""Fit a scale and an offset so that given levels are nearest to the weights of each channel.

A part of ``formats``, called by powers of two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.formats.threshold_search import value_threshold

FloatArray = NDArray[np.float64]
Levels = NDArray[np.float32]

SAMPLE, SAMPLES = 512, 65536  # weights that are fitted on: of a channel, and of a tensor
FITTING_STEPS = 8
STARTS = (0.0, -0.25, 0.25, -0.5, 0.5)
SMALLEST_SPREAD = 1e-30  # of a channel whose standard deviation means anything in float32


def fitted_levels(rows: FloatArray, levels: Levels, bounds: Levels) -> tuple[FloatArray, FloatArray]:
    """Scale and offset of each row, float64 [C], of small squared error.

    Args:
        rows: float64 [C, n]; large weights are sampled. levels: float32 [K], ascending, the largest 1. bounds: float32
            [K - 1], those between them.
    """
    sample = _sample(rows)
    return _regressed(sample, levels, bounds, value_threshold(sample, levels, bounds))


def _sample(rows: FloatArray) -> FloatArray:
    """Some columns at random: a regular choice would see but one tap of a kernel."""
    wanted = max(SAMPLE, SAMPLES // len(rows))
    if rows.shape[1] <= wanted:
        return rows
    return rows[:, np.random.default_rng(0).choice(rows.shape[1], wanted, replace=False)]


def _nearest(rows: FloatArray, bounds: Levels, scale: FloatArray, offset: FloatArray) -> NDArray[np.uint8]:
    places = (rows - offset[:, None]) / scale[:, None]
    return np.searchsorted(bounds, places, side="left").astype(np.uint8)


def _regressed(rows: FloatArray, levels: Levels, bounds: Levels, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale and offset of each row, float64 [C], from alternately taking the nearest levels and regressing on them.

    Each step lowers the squared error. Of several starts the best end counts: ``scale`` around the mean and to either
    side of it, and the whole range.
    """
    low, high = rows.min(axis=1), rows.max(axis=1)
    starts = [(scale, shift * scale) for shift in STARTS] + [((high - low) / 2, (high + low) / 2)]
    best = [np.ones(len(rows)), np.zeros(len(rows)), np.full(len(rows), np.inf)]
    for start_scale, offset in starts:
        scale = np.where(start_scale > 0, start_scale, 1.0)
        for _ in range(FITTING_STEPS):
            level = levels[_nearest(rows, bounds, scale, offset)].astype(np.float64)
            centred = level - level.mean(axis=1, keepdims=True)
            variance = (centred * centred).sum(axis=1)
            slope = (centred * rows).sum(axis=1) / np.maximum(variance, 1e-30)
            usable = (variance > 0) & (slope > 0)
            scale = np.where(usable, slope, scale)
            offset = np.where(usable, rows.mean(axis=1) - scale * level.mean(axis=1), offset)
        quantized = levels[_nearest(rows, bounds, scale, offset)] * scale[:, None] + offset[:, None]
        error = ((rows - quantized) ** 2).sum(axis=1)
        better = error < best[2]
        best = [np.where(better, new, old) for new, old in zip((scale, offset, error), best, strict=True)]
    return best[0], best[1]
