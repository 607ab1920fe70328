"""Histograms that merge exactly: bins by the square root of |x|, scaled by a power of four.

A channel's *anchor* A is the smallest power of four that is no smaller than any |x|. Bin k of a
sign covers A * [(k / K)^2, ((k + 1) / K)^2), K = 128: fine around zero, where most activations
lie, coarse in the tail. Quadrupling A doubles k, so a histogram moves to a larger anchor by
adding neighbouring bins, and the result is the one that a single pass would have given.

Order of the BINS = 256 counts: bins 128 .. 255 hold x >= 0 upwards, bins 127 .. 0 hold x < 0 downwards.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]

HALF = 128  # bins of one sign
BINS = 2 * HALF

# Every possible anchor. Smaller channels use the smallest; |x| above the largest lands in the last bin.
ANCHORS = np.float32(4) ** np.arange(-30, 64, dtype=np.float32)


def anchor_of(minimum: NDArray[np.float32], maximum: NDArray[np.float32]) -> NDArray[np.float32]:
    """The anchor of channels with these extremes, float32 [C]; for an empty channel (+inf, -inf) the smallest."""
    reach = np.where(minimum > maximum, 0, np.maximum(np.abs(minimum), np.abs(maximum))).astype(np.float32)
    index = (reach[:, None] > ANCHORS).sum(axis=1)
    return ANCHORS[np.minimum(index, len(ANCHORS) - 1)]


@cache
def bin_edges() -> FloatArray:
    """The BINS + 1 edges in units of the anchor, ascending from -1 to 1, float64."""
    positive = (np.arange(HALF + 1) / HALF) ** 2
    edges = np.concatenate([-positive[:0:-1], positive])
    edges.setflags(write=False)
    return edges


def bin_index(x: NDArray[np.float32], anchor: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of every value: exact in float32, since anchors are powers of two and sqrt is correctly rounded.

    Args:
        x: float32, finite. anchor: float32, broadcasts against x.
    """
    scaled = (x / anchor).astype(np.float32)
    k = np.floor(np.sqrt(np.abs(scaled)) * np.float32(HALF)).astype(np.int64)
    k = np.minimum(k, HALF - 1)
    return np.where(scaled < 0, HALF - 1 - k, HALF + k)


def rescale(counts: Counts, anchor: NDArray[np.float32], new_anchor: NDArray[np.float32]) -> Counts:
    """Histograms moved to anchors that are equal or larger.

    Args:
        counts: int64 [C, BINS]. anchor, new_anchor: float32 [C], powers of four.
    """
    result = counts.copy()
    rescale_in_place(result, anchor, new_anchor)
    return result


def rescale_in_place(
    counts: NDArray[np.integer[Any]], anchor: NDArray[np.float32], new_anchor: NDArray[np.float32]
) -> None:
    """As ``rescale``, in the memory of ``counts``, which can also be int32."""
    octaves = np.rint(np.log2(new_anchor.astype(np.float64) / anchor) / 2).astype(np.int64)
    if (octaves < 0).any():
        raise ValueError("a histogram cannot move to a smaller anchor")
    for octave in np.unique(octaves[octaves > 0]):
        channels = np.flatnonzero(octaves == octave)
        merged = 1 << min(int(octave), 7)  # bins that become one; 2^7 are all of a sign
        sums = counts[channels].reshape(len(channels), 2, HALF // merged, merged).sum(axis=3, dtype=counts.dtype)
        moved = np.zeros((len(channels), BINS), counts.dtype)
        moved[:, HALF - HALF // merged : HALF + HALF // merged] = sums.reshape(len(channels), -1)
        counts[channels] = moved


def mean_absolute_deviation(counts: Counts, anchor: FloatArray, mean: FloatArray) -> FloatArray:
    """b = E|x - mean| of each channel, taking values as evenly spread within a bin.

    Args:
        counts: int64 [C, BINS]. anchor, mean: float64 [C].

    Returns:
        float64 [C]; 0 for an empty channel.
    """
    edges = bin_edges()
    low, high = edges[:-1] * anchor[:, None], edges[1:] * anchor[:, None]
    centre = np.clip(mean[:, None], low, high)
    # integral of |x - mean| over the bin, divided by its width; outside the mean's own bin one term is zero
    middle = np.abs((low + high) / 2 - mean[:, None])
    split = ((centre - low) ** 2 + (high - centre) ** 2) / (2 * (high - low))
    distance = np.where((low < mean[:, None]) & (mean[:, None] < high), split, middle)
    return (counts * distance).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)


def magnitude_percentile(histogram: Counts, anchor: FloatArray, reach: FloatArray, percentile: float) -> FloatArray:
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
