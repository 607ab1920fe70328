"""What a grid does to the values of a histogram: expected squared error and expected value, in closed form.

Values are taken as evenly spread within a bin. In units of the step, u = x / scale, a uniform quantizer is
r(u) = clip(round(u), first, last); integrated over a bin,

    integral of (u - r)^2 = r / 12 + (u - r)^3 / 3        integral of r = r * (u - r / 2)

hold with the same r on the grid and beyond its ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.grids.uniform import UniformGrid
from onnxq.histogram import bin_edges

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]


def expected_squared_error(histogram: Counts, anchor: FloatArray, grid: UniformGrid) -> FloatArray:
    """E[(x - q(x))^2] of each channel.

    Args:
        histogram: int64 [C, BINS] counts of ``onnxq.histogram``. anchor: float64 [C].
        grid: of [C] or [1] values.

    Returns:
        float64 [C], in squared units of the tensor; 0 for an empty channel.
    """
    u, r, scale = _codes(anchor, grid)
    offset = u - r
    return _mean(histogram, u, r / 12 + offset * offset * offset / 3) * scale * scale


def expected_value(histogram: Counts, anchor: FloatArray, grid: UniformGrid) -> FloatArray:
    """E[q(x)] of each channel, float64 [C]; arguments as above."""
    u, r, scale = _codes(anchor, grid)
    return _mean(histogram, u, r * (u - r / 2)) * scale


def _codes(anchor: FloatArray, grid: UniformGrid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bin edges in steps [C, BINS + 1], their nearest level, and the step [C]."""
    scale, zero_point = (np.broadcast_to(p.astype(np.float64), anchor.shape) for p in (grid.scale, grid.zero_point))
    last = np.exp2(np.broadcast_to(grid.bits, anchor.shape)) - 1 - zero_point
    u = bin_edges() * (anchor / scale)[:, None]
    return u, np.clip(np.rint(u), -zero_point[:, None], last[:, None]), scale


def _mean(histogram: Counts, u: FloatArray, antiderivative: FloatArray) -> FloatArray:
    per_bin = np.diff(antiderivative, axis=1) / np.diff(u, axis=1)
    mean: FloatArray = (histogram * per_bin).sum(axis=1) / np.maximum(histogram.sum(axis=1), 1)
    return mean
