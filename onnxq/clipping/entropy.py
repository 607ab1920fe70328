"""The threshold of smallest Kullback-Leibler divergence between a histogram and its quantized self. A clipping rule.

Migacz, "8-bit inference with TensorRT" (GTC 2017), in the symmetric form that MXNet made of it: for every threshold
the bins beyond it are added to the outermost bin inside (P), the bins inside are averaged in groups, one a
quantization level (Q), both are smoothed, and D(P || Q) is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping
from onnxq.core.histogram import HALF, bin_edges
from onnxq.core.observed import Interval, Observed

FloatArray = NDArray[np.float64]

BINS = 513  # of the uniform histogram, odd: one is centred at zero
SMOOTHING = 1e-4


@CLIPPINGS.register("entropy")
@dataclass(frozen=True)
class Entropy(Clipping):
    """``entropy_threshold`` on both sides of zero, within the range seen."""

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """As ``Clipping.interval``."""
        minimum, maximum = observed.limits
        alpha = entropy_threshold(observed.histogram, observed.anchor, bits, observed.half)
        return np.clip(-alpha, minimum, maximum), np.clip(alpha, minimum, maximum)


def entropy_threshold(
    histogram: NDArray[np.int64], anchor: FloatArray, bits: NDArray[np.int32], half_range: bool
) -> FloatArray:
    """Clipping threshold alpha of each channel.

    Args:
        histogram: int64 [C, BINS] counts of ``onnxq.core.histogram``; anchor: float64 [C].
        bits: int32 [C]; 2^bits - 1 levels, twice as many in a half range, where the histogram is mirrored.

    Returns:
        float64 [C]; the reach of the histogram where there are as many levels as bins.
    """
    uniform, reach = _uniform(histogram, half_range)
    alpha = np.empty(len(histogram))
    for width in np.unique(bits):
        channels = np.flatnonzero(bits == width)
        levels = max(2 ** (int(width) + half_range) - 1, 1)
        alpha[channels] = best_threshold(uniform[channels], levels, np.ones(len(channels)))
    return alpha * reach * anchor


def best_threshold(counts: FloatArray, levels: int, reach: FloatArray, candidates: int = 64) -> FloatArray:
    """The threshold of smallest divergence for symmetric uniform histograms.

    Args:
        counts: float64 [C, n], n odd, over [-reach, reach]. levels: of the quantizer, odd. reach: float64 [C].
        candidates: at most how many thresholds are tried; (n + 1 - levels) / 2 + 1 would be all.

    Returns:
        float64 [C].
    """
    centre = counts.shape[1] // 2
    first = max(levels // 2, 1)
    if first >= centre:
        return reach
    tried = np.unique(np.linspace(first, centre, candidates).round().astype(int))
    best, smallest = np.full(len(counts), centre), np.full(len(counts), np.inf)
    for half_width in tried:
        divergence = _divergence(counts, centre, int(half_width), levels)
        better = divergence < smallest
        best[better], smallest[better] = half_width, divergence[better]
    return (2 * best + 1) / counts.shape[1] * reach


def _divergence(counts: FloatArray, centre: int, half_width: int, levels: int) -> FloatArray:
    """D(P || Q) of each row for the threshold that leaves ``half_width`` bins on each side of the centre."""
    start, stop = centre - half_width, centre + half_width + 1
    inside = counts[:, start:stop]
    p = inside.copy()
    p[:, 0] += counts[:, :start].sum(axis=1)
    p[:, -1] += counts[:, stop:].sum(axis=1)
    occupied = inside != 0
    occupied[:, -1] = False  # as MXNet has it: the last bin takes no part in Q
    merged = inside.shape[1] // levels
    starts = np.arange(levels) * merged  # the last group takes what is left
    length = np.diff(np.append(starts, inside.shape[1]))
    total = np.add.reduceat(inside, starts, axis=1)
    share = total / np.maximum(np.add.reduceat(occupied, starts, axis=1), 1)
    q = np.where(occupied, np.repeat(share, length, axis=1), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth_p, smooth_q = _smooth(p), _smooth(q)
        smooth_p, smooth_q = (d / d.sum(axis=1, keepdims=True) for d in (smooth_p, smooth_q))
        divergence: FloatArray = (smooth_p * np.log(smooth_p / smooth_q)).sum(axis=1)
    return np.where(np.isnan(divergence), np.inf, divergence)


def _smooth(counts: FloatArray) -> FloatArray:
    """Move a little from the occupied bins to the empty ones; NaN where there is too little to move."""
    empty = counts == 0
    taken = SMOOTHING * empty.sum(axis=1, keepdims=True) / (~empty).sum(axis=1, keepdims=True)
    return np.where(taken < 1, np.where(empty, SMOOTHING, counts - taken), np.nan)


def _uniform(histogram: NDArray[np.int64], half_range: bool) -> tuple[FloatArray, FloatArray]:
    """Histograms [C, 513] over [-reach, reach] and the reach [C], both in units of the anchor.

    Counts are spread evenly within each of the old bins; the reach is the outermost edge of an occupied one.
    """
    edges = bin_edges()
    if half_range:  # the zeros that a ReLU makes say nothing of the range, and outweigh all else
        histogram = histogram.copy()
        histogram[:, HALF] = 0
    occupied = histogram > 0
    outer = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
    reach = np.where(occupied, outer, 0).max(axis=1)
    cumulative = np.concatenate([np.zeros((len(histogram), 1)), np.cumsum(histogram, axis=1)], axis=1)
    uniform = np.empty((len(histogram), BINS))
    for channel, limit in enumerate(reach):
        ticks = np.linspace(-limit, limit, BINS + 1)
        uniform[channel] = np.diff(np.interp(ticks, edges, cumulative[channel]))
    return (uniform + uniform[:, ::-1] if half_range else uniform), reach
