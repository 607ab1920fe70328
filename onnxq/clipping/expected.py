"""What a grid does to the values of a histogram: expected squared error and expected value, in closed form.

Values are taken as evenly spread within a bin. Grids of equal steps: in units of the step, u = x / scale, a quantizer
is r(u) = clip(round(u), first, last); integrated over a bin,

    integral of (u - r)^2 = r / 12 + (u - r)^3 / 3        integral of r = r * (u - r / 2)

hold with the same r on the grid and beyond its ends. Codebooks: the moments of the values between two bounds, from
their running integrals over the histogram.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.grids.codebook import CodebookGrid, bounds_of
from onnxq.grids.fixed_point import FixedPointGrid
from onnxq.grids.mid_tread import MidTreadGrid
from onnxq.grids.uniform import UniformGrid
from onnxq.histogram import bin_edges

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]
NARROW = 1e-9  # steps
StepGrid = UniformGrid | MidTreadGrid | FixedPointGrid
Grid = StepGrid | CodebookGrid


def expected_squared_error(histogram: Counts, anchor: FloatArray, grid: Grid) -> FloatArray:
    """E[(x - q(x))^2] of each channel.

    Args:
        histogram: int64 [C, BINS] counts of ``onnxq.histogram``. anchor: float64 [C].
        grid: of [C] or [1] values. (Fixed point: rounding to nearest is assumed.)

    Returns:
        float64 [C], in squared units of the tensor; 0 for an empty channel.
    """
    if isinstance(grid, CodebookGrid):
        count, first, second, levels = _moments(histogram, anchor, grid)
        error: FloatArray = (second - 2 * levels * first + levels * levels * count).sum(axis=1)
        return np.maximum(error, 0) / np.maximum(histogram.sum(axis=1), 1)
    u, r, width, scale = _codes(anchor, grid)
    offset = u - r
    return _mean(histogram, width, r / 12 + offset * offset * offset / 3, offset * offset) * scale * scale


def expected_value(histogram: Counts, anchor: FloatArray, grid: Grid) -> FloatArray:
    """E[q(x)] of each channel, float64 [C]; arguments as above. Fixed point that overflows is taken to saturate."""
    if isinstance(grid, CodebookGrid):
        count, _, _, levels = _moments(histogram, anchor, grid)
        value: FloatArray = (levels * count).sum(axis=1) / np.maximum(histogram.sum(axis=1), 1)
        return value
    u, r, width, scale = _codes(anchor, grid)
    return _mean(histogram, width, r * (u - r / 2), r) * scale


def _codes(anchor: FloatArray, grid: StepGrid) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Bin edges in steps [C, BINS + 1], their nearest level, the width of bins [C, BINS], and the step [C]."""
    shift = 0.0
    if isinstance(grid, FixedPointGrid):
        scale, half = np.exp2(-grid.fraction_bits.astype(np.float64)), np.exp2(grid.total_bits - 1.0)
        first, last = np.array([-half]), np.array([half - 1])
        shift = 0.5 if grid.rounding == "floor" else 0.0  # floor(u) = round(u - 1/2)
    elif isinstance(grid, MidTreadGrid):
        scale, first, last = (field.astype(np.float64) for field in (grid.scale, grid.first, grid.last))
    else:
        scale, first = grid.scale.astype(np.float64), -grid.zero_point.astype(np.float64)
        last = first + np.exp2(grid.bits) - 1
    scale, first, last = (np.broadcast_to(field, anchor.shape) for field in (scale, first, last))
    edges = bin_edges() * (anchor / scale)[:, None]
    u = edges - shift
    return u, np.clip(np.rint(u), first[:, None], last[:, None]), np.diff(edges, axis=1), scale


def _mean(histogram: Counts, width: FloatArray, antiderivative: FloatArray, at_edges: FloatArray) -> FloatArray:
    """Mean over the histogram; of bins too narrow to subtract at, what holds at their lower edge."""
    narrow = width < NARROW
    per_bin = np.where(narrow, at_edges[:, :-1], np.diff(antiderivative, axis=1) / np.where(narrow, 1, width))
    mean: FloatArray = (histogram * per_bin).sum(axis=1) / np.maximum(histogram.sum(axis=1), 1)
    return mean


def _moments(
    histogram: Counts, anchor: FloatArray, grid: CodebookGrid
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Of the values nearest to each level: their count, sum and sum of squares, and the levels, all [C, K]."""
    edges = bin_edges()
    scale = np.broadcast_to(grid.scale.astype(np.float64), anchor.shape)
    bounds = bounds_of(grid.levels).astype(np.float64) * (scale / anchor)[:, None]  # in units of the anchor
    low, high = np.full((len(anchor), 1), -1.0), np.full((len(anchor), 1), 1.0)
    t = np.concatenate([low, np.clip(bounds, -1, 1), high], axis=1)
    bin_of = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, len(edges) - 2)
    rows = np.arange(len(anchor))[:, None]
    integrals = []
    for power in (1, 2, 3):
        start, end = edges[:-1] ** power / power, edges[1:] ** power / power
        density = histogram / np.diff(edges)
        before = np.concatenate([np.zeros((len(anchor), 1)), np.cumsum(density * (end - start), axis=1)], axis=1)
        at = before[rows, bin_of] + density[rows, bin_of] * (t**power / power - start[bin_of])
        integrals.append(np.diff(at, axis=1) * anchor[:, None] ** (power - 1))
    count, first, second = integrals
    return count, first, second, grid.levels.astype(np.float64) * scale[:, None]
