"""Histograms with bins of one width, of values and of calibration statistics. A part of ``report``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.histogram import bin_edges
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.report.facts import Histogram

BINS = 80


def of_values(values: NDArray[Any], low: float, high: float) -> Histogram | None:
    """Of all values; None of none.

    Args:
        low, high: where bins end.
    """
    if not values.size or not low < high:
        return None
    counts, _ = np.histogram(values, BINS, (low, high))
    return Histogram(low, high, _shares(counts))


def of_statistics(seen: TensorStatistics) -> Histogram | None:
    """Of a whole tensor, its values as spread evenly within the bins of its statistics."""
    whole = seen.whole()
    low, high = float(whole.minimum[0]), float(whole.maximum[0])
    if not low < high:
        return None
    edges = np.clip(bin_edges() * float(whole.anchor[0]), low, high)
    below = np.concatenate([[0], np.cumsum(whole.histogram[0])])
    counts = np.diff(np.interp(np.linspace(low, high, BINS + 1), edges, below))
    return Histogram(low, high, _shares(counts))


def _shares(counts: NDArray[Any]) -> tuple[float, ...]:
    total = max(float(counts.sum()), 1.0)
    return tuple(float(f"{count / total:.4g}") for count in counts)
