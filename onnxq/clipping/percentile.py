"""The interval that leaves a given share of the values outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.histogram import bin_edges

FloatArray = NDArray[np.float64]


def percentile_interval(
    histogram: NDArray[np.int64], anchor: FloatArray, minimum: FloatArray, maximum: FloatArray, percentile: float
) -> tuple[FloatArray, FloatArray]:
    """Cut (100 - percentile) / 2 percent of the values off each end.

    Positions between the edges of a bin are interpolated; the result never exceeds the seen range.

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
        cumulative = np.concatenate([[0.0], np.cumsum(counts)])
        occupied = np.flatnonzero(np.diff(cumulative, prepend=-1.0))  # rising points only, so that interp is a function
        share = cumulative[occupied] / max(cumulative[-1], 1)
        position = np.interp([tail, 1 - tail], share, edges[occupied])
        bounds[:, channel] = position * anchor[channel]
    return np.clip(bounds[0], minimum, maximum), np.clip(bounds[1], minimum, maximum)
