"""What every clipping rule needs to know of a tensor: extremes, sums and a histogram of each channel; mergeable.

A ground type: made by ``observe``, read by ``decide`` and ``refine``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.histogram import (
    BINS,
    HALF,
    anchor_of,
    bin_edges,
    mean_absolute_deviation,
    rescale,
    rescale_in_place,
)
from onnxq.core.observation import Observation

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TensorStatistics:
    """Statistics of each channel of one tensor; ``whole()`` gives those of the tensor as one channel.

    Attributes:
        count: values a channel.
        minimum, maximum: float32 [C].
        sum, sum_squares: float64 [C].
        anchor: float32 [C], the unit of the histogram.
        histogram: int64 [C, 256] (of one batch: int32), the bins of ``onnxq.core.histogram``.
    """

    count: int
    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    sum: FloatArray
    sum_squares: FloatArray
    anchor: NDArray[np.float32]
    histogram: NDArray[Any]

    @staticmethod
    def of(observation: Observation) -> TensorStatistics:
        """Statistics of one observed batch."""
        histogram = observation.histogram
        return TensorStatistics(
            count=int(histogram[0].sum(dtype=np.int64)) if len(histogram) else 0,
            minimum=observation.minimum,
            maximum=observation.maximum,
            sum=observation.sum,
            sum_squares=observation.sum_squares,
            anchor=anchor_of(observation.minimum, observation.maximum),
            histogram=histogram,
        )

    @property
    def reach(self) -> FloatArray:
        """The largest magnitude seen, float64 [C]."""
        return np.maximum(np.abs(self.minimum), np.abs(self.maximum)).astype(np.float64)

    @property
    def mean(self) -> FloatArray:
        """Float64 [C]."""
        return self.sum / max(self.count, 1)

    @property
    def std(self) -> FloatArray:
        """Standard deviation with n - 1 in the denominator, float64 [C]."""
        centred = self.sum_squares - self.sum * self.sum / max(self.count, 1)
        deviation: FloatArray = np.sqrt(np.maximum(centred, 0) / max(self.count - 1, 1))
        return deviation

    @cached_property
    def b(self) -> FloatArray:
        """E|x - mean|, from the histogram; float64 [C]."""
        return mean_absolute_deviation(self.histogram, self.anchor.astype(np.float64), self.mean)

    @property
    def mean_of_positive(self) -> FloatArray:
        """E[x | x > 0], from the histogram; float64 [C]; 0 where there is none. The bin at zero does not count."""
        edges = bin_edges()[HALF + 1 :]
        counts = self.histogram[:, HALF + 1 :]
        total = counts @ ((edges[:-1] + edges[1:]) / 2) * self.anchor
        mean: FloatArray = total / np.maximum(counts.sum(axis=1), 1)
        return mean

    def whole(self) -> TensorStatistics:
        """All channels taken together, as statistics of one channel."""
        anchor = np.full_like(self.anchor, self.anchor.max(initial=0))
        return TensorStatistics(
            count=self.count * len(self.minimum),
            minimum=self.minimum.min(keepdims=True),
            maximum=self.maximum.max(keepdims=True),
            sum=self.sum.sum(keepdims=True),
            sum_squares=self.sum_squares.sum(keepdims=True),
            anchor=anchor[:1],
            histogram=rescale(self.histogram, self.anchor, anchor).sum(axis=0, keepdims=True),
        )

    def clamped(self, upper: float) -> TensorStatistics:
        """Statistics of clamp(x, 0, upper): behind a ReLU (upper = inf) or a Clip.

        Extremes and histogram are exact; the sums are taken from the histogram, values in the middle of their bins,
        which costs the mean about 0.1 percent (1 percent where many values exceed ``upper``).
        """
        edges = bin_edges() * self.anchor[:, None].astype(np.float64)
        counts = self.histogram.copy()
        counts[:, HALF] += counts[:, :HALF].sum(axis=1)
        counts[:, :HALF] = 0
        above = edges[:, :-1] >= upper
        last = np.argmax(np.where(above, -1, np.arange(BINS)), axis=1)  # the bin that holds ``upper``
        counts[np.arange(len(counts)), last] += (counts * above).sum(axis=1)
        counts[above] = 0
        maximum = np.clip(self.maximum, 0, upper).astype(np.float32)
        anchor = np.where(self._in_zero_bin(maximum), anchor_of(np.zeros_like(maximum), maximum), self.anchor)
        counts = self._refined(counts, maximum, anchor)
        edges = bin_edges() * anchor[:, None].astype(np.float64)
        values = np.minimum((edges[:, :-1] + edges[:, 1:]) / 2, upper)
        values[:, HALF] = 0  # there are hardly any but zeros in the bin at zero
        return TensorStatistics(
            count=self.count,
            minimum=np.clip(self.minimum, 0, upper).astype(np.float32),
            maximum=maximum,
            sum=(counts * values).sum(axis=1),
            sum_squares=(counts * values * values).sum(axis=1),
            anchor=anchor,
            histogram=counts,
        )

    def _in_zero_bin(self, maximum: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Channels all of whose clamped values lie in the bin at zero: that of the values before is far too wide."""
        return maximum < bin_edges()[HALF + 1] * self.anchor

    def _refined(self, counts: NDArray[Any], maximum: NDArray[np.float32], anchor: NDArray[np.float32]) -> NDArray[Any]:
        """Counts of such channels by their own anchor, which holds ``maximum``.

        What was not positive is zero. The values of the bin at zero are taken as evenly spread up to its end, or the
        largest value; what exceeds ``maximum`` has that value.
        """
        for channel in np.flatnonzero(self._in_zero_bin(maximum)):
            before, top = self.histogram[channel], float(maximum[channel])
            inside, total = int(before[HALF]), int(counts[channel].sum())
            counts[channel] = 0
            if top > 0:
                end = min(float(self.maximum[channel]), float(bin_edges()[HALF + 1] * self.anchor[channel]))
                edges = bin_edges()[HALF:] * anchor[channel]
                reached = np.where(edges < top, edges / end, 1.0)
                counts[channel, HALF:] = np.diff(np.rint(reached * inside).astype(np.int64))
                counts[channel, HALF + np.searchsorted(edges, top) - 1] += int(before[HALF + 1 :].sum())
            counts[channel, HALF] += total - int(counts[channel].sum())
        return counts

    def copy(self) -> TensorStatistics:
        """With a histogram of its own, int64."""
        return replace(self, histogram=self.histogram.astype(np.int64))

    def merge(self, other: TensorStatistics) -> TensorStatistics:
        """Statistics of both sets of values together."""
        return self.copy().absorb(other.copy())

    def absorb(self, other: TensorStatistics) -> TensorStatistics:
        """As ``merge``, in the memory of this histogram (int64); neither of the two can be used afterwards.

        Tensors whose axis 1 differs in size have a sequence there and no channels: they are taken as one.
        """
        if len(self.minimum) != len(other.minimum):
            return self.whole().copy().absorb(other.whole())
        anchor = np.maximum(self.anchor, other.anchor)
        rescale_in_place(self.histogram, self.anchor, anchor)
        rescale_in_place(other.histogram, other.anchor, anchor)
        np.add(self.histogram, other.histogram, out=self.histogram)
        return TensorStatistics(
            count=self.count + other.count,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            sum=self.sum + other.sum,
            sum_squares=self.sum_squares + other.sum_squares,
            anchor=anchor,
            histogram=self.histogram,
        )
