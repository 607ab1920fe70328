"""What a quantizer does to the values of a histogram: expected squared error and expected value, in closed form.

A part of ``formats``, called by the parameters of each format. Values are taken as evenly spread within a bin. Equal
steps: in units of the step, u = x / scale, a quantizer is r(u) = clip(round(u), first, last); integrated over a bin,

    integral of (u - r)^2 = r / 12 + (u - r)^3 / 3        integral of r = r * (u - r / 2)

hold with the same r on the grid and beyond its ends. Codebooks: the moments of the values between two bounds, from
their running integrals over the histogram.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.histogram import bin_edges

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]
NARROW = 1e-9  # steps


@dataclass(frozen=True)
class Steps:
    """Equal steps: scale * clip(round(x / scale - shift), first, last), float64 [C] or [1] each."""

    scale: FloatArray
    first: FloatArray
    last: FloatArray
    shift: float = 0.0

    def expected_squared_error(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[(x - q(x))^2] of each channel.

        Args:
            histogram: int64 [C, BINS] counts of ``onnxq.core.histogram``. anchor: float64 [C].

        Returns:
            float64 [C], in squared units of the tensor; 0 for an empty channel.
        """
        u, r, width, scale = self._codes(anchor)
        offset = u - r
        return _mean(histogram, width, r / 12 + offset * offset * offset / 3, offset * offset) * scale * scale

    def expected_value(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[q(x)] of each channel, float64 [C]; arguments as above."""
        u, r, width, scale = self._codes(anchor)
        return _mean(histogram, width, r * (u - r / 2), r) * scale

    def _codes(self, anchor: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Bin edges in steps [C, BINS + 1], their nearest level, the width of bins [C, BINS], and the step [C]."""
        scale, first, last = (np.broadcast_to(field, anchor.shape) for field in (self.scale, self.first, self.last))
        edges = bin_edges() * (anchor / scale)[:, None]
        u = edges - self.shift
        return u, np.clip(np.rint(u), first[:, None], last[:, None]), np.diff(edges, axis=1), scale


@dataclass(frozen=True)
class Levels:
    """Ascending levels float32 [K] times a scale float64 [C] or [1]; bounds float32 [K - 1] lie between them."""

    scale: FloatArray
    levels: NDArray[np.float32]
    bounds: NDArray[np.float32]

    def expected_squared_error(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """As ``Steps.expected_squared_error``."""
        count, first, second, levels = self._moments(histogram, anchor)
        error: FloatArray = (second - 2 * levels * first + levels * levels * count).sum(axis=1)
        return np.maximum(error, 0) / np.maximum(histogram.sum(axis=1), 1)

    def expected_value(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """As ``Steps.expected_value``."""
        count, _, _, levels = self._moments(histogram, anchor)
        value: FloatArray = (levels * count).sum(axis=1) / np.maximum(histogram.sum(axis=1), 1)
        return value

    def _moments(self, histogram: Counts, anchor: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Of the values nearest to each level: their count, sum and sum of squares, and the levels, all [C, K]."""
        edges = bin_edges()
        scale = np.broadcast_to(self.scale, anchor.shape)
        bounds = self.bounds.astype(np.float64) * (scale / anchor)[:, None]  # in units of the anchor
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
        return count, first, second, self.levels.astype(np.float64) * scale[:, None]


class OnHistograms(ABC):
    """Parameters of an activation, as far as histograms go: their format says which grid they stand for."""

    @abstractmethod
    def grid(self) -> Steps | Levels:
        """The values that quantization can give."""

    def expected_squared_error(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[(x - q(x))^2], float64 [C], on histograms int64 [C, BINS]; arguments as of ``Steps``."""
        return self.grid().expected_squared_error(histogram, anchor)

    def expected_value(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[q(x)], float64 [C], likewise."""
        return self.grid().expected_value(histogram, anchor)


def _mean(histogram: Counts, width: FloatArray, antiderivative: FloatArray, at_edges: FloatArray) -> FloatArray:
    """Mean over the histogram; of bins too narrow to subtract at, what holds at their lower edge."""
    narrow = width < NARROW
    per_bin = np.where(narrow, at_edges[:, :-1], np.diff(antiderivative, axis=1) / np.where(narrow, 1, width))
    mean: FloatArray = (histogram * per_bin).sum(axis=1) / np.maximum(histogram.sum(axis=1), 1)
    return mean
