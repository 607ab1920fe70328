"""What is known of one activation when its range is chosen.

A ground type: made by ``decide``, read by ``clipping`` and ``formats``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.batch_averages import TensorAverages
from onnxq.core.tensor_statistics import TensorStatistics

FloatArray = NDArray[np.float64]
Interval = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Observed:
    """An activation, as [C] channels or as one.

    Attributes:
        own: statistics of the tensor itself.
        before: of the tensor before its ReLU, if that is what made it.
        half: it cannot be negative: all levels are spent from zero up.
        moving: moving average over batches of a percentile of |x|, float64 [C], if that was calibrated.
    """

    own: TensorStatistics
    before: TensorStatistics | None
    half: bool
    moving: FloatArray | None = None

    @property
    def channels(self) -> int:
        """How many ranges there are to choose."""
        return len(self.own.minimum)

    @property
    def limits(self) -> Interval:
        """The range seen, float64 [C] each; from zero in a half range."""
        minimum = np.zeros(self.channels) if self.half else self.own.minimum.astype(np.float64)
        return minimum, self.own.maximum.astype(np.float64)

    @property
    def reach(self) -> FloatArray:
        """The largest magnitude seen, float64 [C]."""
        return self.own.reach

    @property
    def anchor(self) -> FloatArray:
        """The unit of the histogram, float64 [C]."""
        return self.own.anchor.astype(np.float64)

    @property
    def histogram(self) -> NDArray[np.int64]:
        """Counts of each channel, int64 [C, BINS], in the bins of ``onnxq.core.histogram``."""
        return self.own.histogram

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(mean, b, sigma) of the density that clipping assumes: that before the ReLU where there is one.

        A non-negative tensor without such a one (behind pooling or Concat) shows the positive half of a density centred
        at zero: E[x | x > 0] is b for Laplace, sigma * sqrt(2 / pi) for Gauss.
        """
        if self.half and self.before is None:
            b = self.own.mean_of_positive
            return np.zeros(self.channels), b, b * np.sqrt(np.pi / 2)
        source = self.before or self.own
        return source.mean, source.b, source.std

    @property
    def smallest(self) -> FloatArray:
        """The smallest value of that density, float64 [C]."""
        return (self.before or self.own).minimum.astype(np.float64)

    @property
    def spread(self) -> FloatArray:
        """sigma before the ReLU, float64 [C], by which the published allocation goes."""
        return (self.before or self.own).std

    @property
    def deviation(self) -> FloatArray:
        """E|x - mean| before the ReLU, float64 [C], by which it goes for Laplace."""
        return (self.before or self.own).b


@dataclass(frozen=True)
class ObservedOverBatches(Observed):
    """The same, extremes and moments being means over batches, which are nearer to zero than those of all images.

    The mean of what is positive, which stands for the moments of a non-negative tensor without a ReLU before it, stays
    that of all images.

    Attributes:
        averages: of the tensor itself. averages_before: as ``before``.
    """

    averages: TensorAverages | None = None
    averages_before: TensorAverages | None = None

    @property
    def _own(self) -> TensorAverages:
        assert self.averages is not None  # what it is made with
        return self.averages

    @property
    def _density(self) -> TensorAverages:
        return self.averages_before or self._own

    @property
    def limits(self) -> Interval:
        """As ``Observed.limits``."""
        return np.zeros(self.channels) if self.half else self._own.minimum, self._own.maximum

    @property
    def reach(self) -> FloatArray:
        """As ``Observed.reach``."""
        return np.maximum(np.abs(self._own.minimum), np.abs(self._own.maximum))

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As ``Observed.moments``."""
        if self.half and self.before is None:
            return super().moments()
        return self._density.mean, self._density.b, self._density.std

    @property
    def smallest(self) -> FloatArray:
        """As ``Observed.smallest``."""
        return self._density.minimum

    @property
    def spread(self) -> FloatArray:
        """As ``Observed.spread``."""
        return self._density.std

    @property
    def deviation(self) -> FloatArray:
        """As ``Observed.deviation``."""
        return self._density.b
