"""The mid-tread format with the published arithmetic. A format, for comparison.

What differs: numbers of bins are rounded one by one and need not sum to the budget, multipliers are interpolated in a
table, and the outermost codes are fractions, so that clipped values lie off the grid and cost symbols of their own.
Banner, Nahshan, Soudry, NeurIPS 2019, and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.aciq import laplace_multiplier
from onnxq.core.observed import Observed
from onnxq.formats.base import FORMATS, FloatArray, Format
from onnxq.formats.mid_tread import MAX_BINS, MidTread


def mid_tread_bins(spread: FloatArray, bits: float) -> FloatArray:
    """Whole numbers of bins, round(C * 2^bits * spread^(2/3) / sum): they need not sum to the budget."""
    share = spread ** (2 / 3)
    return np.rint(len(spread) * 2**bits * share / max(share.sum(), np.finfo(np.float64).tiny))


@cache
def _multiplier_table() -> tuple[FloatArray, FloatArray]:
    """Numbers of bins, twenty a decade from 0.01 to 1000, and the Laplace threshold of each; 0 bins first."""
    decades = [np.linspace(start, 10 * start, 20, endpoint=False) for start in (0.01, 0.1, 1.0, 10.0, 100.0)]
    bins = np.concatenate([[0.0], *decades])
    return bins, np.array([0.0, *(laplace_multiplier(float(np.log2(n))) for n in bins[1:])])


def mid_tread_multiplier(bins: FloatArray) -> FloatArray:
    """alpha / b for numbers of bins, interpolated in a table as published; beyond it the exact optimum.

    >>> mid_tread_multiplier(np.array([16.0])).round(5)
    array([5.01546])
    """
    table_bins, table = _multiplier_table()
    exact = np.array([laplace_multiplier(float(np.log2(n))) if n > table_bins[-1] else 0.0 for n in bins])
    return np.where(bins > table_bins[-1], exact, np.interp(bins, table_bins, table))


@FORMATS.register("published-mid-tread")
@dataclass(frozen=True)
class PublishedMidTread(MidTread):
    """``mid-tread`` as published."""

    factors: ClassVar[tuple[float, ...]] = (1.0,)

    def published(self) -> Format:
        """Itself."""
        return self

    def _activation_bins(self, observed: Observed, bits: float) -> tuple[FloatArray, FloatArray]:
        bins = mid_tread_bins(observed.spread, bits)
        return bins, mid_tread_multiplier(bins * (2 if observed.half else 1))

    def _weight_bins(self, spread: FloatArray, bits: float) -> FloatArray:
        return np.minimum(mid_tread_bins(spread, bits), MAX_BINS)

    def _placed(
        self, observed: Observed, scale: FloatArray, first: FloatArray, last: FloatArray, constant: NDArray[np.bool_]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        return scale, first, last

    def _only_level(self, rows: NDArray[np.float32]) -> FloatArray:
        return np.zeros(len(rows))
