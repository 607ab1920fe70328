"""Ranges that leave a given share of the values outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.histogram import HALF, bin_edges

FloatArray = NDArray[np.float64]


def percentile_interval(
    histogram: NDArray[np.int64], anchor: FloatArray, minimum: FloatArray, maximum: FloatArray, percentile: float
) -> tuple[FloatArray, FloatArray]:
    """Cut (100 - percentile) / 2 percent of the values off each end.

    Positions within a bin are interpolated; the result never exceeds the seen range.

    Args:
        histogram: int64 [C, BINS] counts; anchor, minimum, maximum: float64 [C].
        percentile: share kept, in percent, above 50 and at most 100.

    Returns:
        (lower, upper), float64 [C].
    """
    tail = (100 - percentile) / 200
    edges = bin_edges()
    bounds = np.empty((2, len(histogram)))
    for channel, counts in enumerate(histogram):
        below = np.cumsum(counts) - counts
        through = below + counts
        ranks = tail * counts.sum(), (1 - tail) * counts.sum()
        # the bins that hold the values of these ranks, and how far into them
        bins = np.searchsorted(through, ranks[0], side="right"), np.searchsorted(through, ranks[1], side="left")
        for row, (rank, found) in enumerate(zip(ranks, bins, strict=True)):
            index = min(int(found), len(counts) - 1)
            inside = (rank - below[index]) / max(counts[index], 1)
            bounds[row, channel] = (edges[index] + inside * (edges[index + 1] - edges[index])) * anchor[channel]
    return np.clip(bounds[0], minimum, maximum), np.clip(bounds[1], minimum, maximum)


def magnitude_percentile(
    histogram: NDArray[np.int64], anchor: FloatArray, reach: FloatArray, percentile: float
) -> FloatArray:
    """The magnitude that ``percentile`` percent of the values do not exceed.

    Args:
        histogram: int64 [C, BINS] counts; anchor, reach: float64 [C], reach the largest magnitude seen.
        percentile: at most 100.

    Returns:
        float64 [C], at most ``reach``.
    """
    edges = bin_edges()[HALF:]
    counts = histogram[:, HALF:] + histogram[:, HALF - 1 :: -1]
    through = np.cumsum(counts, axis=1)
    rank = percentile / 100 * through[:, -1]
    index = np.minimum((through < rank[:, None]).sum(axis=1), HALF - 1)
    rows = np.arange(len(counts))
    inside = (rank - (through - counts)[rows, index]) / np.maximum(counts[rows, index], 1)
    return np.minimum((edges[index] + inside * (edges[index + 1] - edges[index])) * anchor, reach)
