"""Ranges that leave a given share of the values outside. Clipping rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping, FloatArray
from onnxq.core.checks import number
from onnxq.core.histogram import bin_edges, magnitude_percentile
from onnxq.core.observed import Interval, Observed
from onnxq.errors import OnnxqError

KEEP = 99.99  # percent


@CLIPPINGS.register("percentile")
@dataclass(frozen=True)
class Percentile(Clipping):
    """All but a share of the values at the ends.

    Attributes:
        keep: the share kept, in percent, above 50 and at most 100.
    """

    symmetric: ClassVar[bool] = True

    keep: float = KEEP

    def problems(self) -> list[str]:
        """Whether the share is one."""
        return _share_problems("percentile", self.keep)

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """As ``Clipping.interval``."""
        return percentile_interval(observed.histogram, observed.anchor, *observed.limits, self.keep)

    def threshold(self, observed: Observed) -> FloatArray:
        """As ``Clipping.threshold``."""
        return magnitude_percentile(observed.histogram, observed.anchor, observed.reach, self.keep)


@CLIPPINGS.register("moving-percentile")
@dataclass(frozen=True)
class MovingPercentile(Clipping):
    """The moving average over calibration batches of a percentile of |x|, for symmetric formats.

    Attributes:
        keep: the percentile, above 50 and at most 100; ``calibrate`` must have been asked for the same.
    """

    symmetric: ClassVar[bool] = True
    only_symmetric: ClassVar[bool] = True

    keep: float = KEEP

    def problems(self) -> list[str]:
        """Whether the share is one."""
        return _share_problems("moving-percentile", self.keep)

    @property
    def moving_percentile(self) -> float:
        """As ``Clipping.moving_percentile``."""
        return self.keep

    def threshold(self, observed: Observed) -> FloatArray:
        """As ``Clipping.threshold``."""
        if observed.moving is None:
            raise OnnxqError(f"the statistics have no moving average of the {self.keep:g}th percentile")
        return np.minimum(observed.moving, observed.reach)


def _share_problems(rule: str, keep: float) -> list[str]:
    return number(f"{rule}.keep", keep) or (
        [] if 50 < keep <= 100 else [f"`{rule}.keep` must be above 50 and at most 100, not {keep:g}"]
    )


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
