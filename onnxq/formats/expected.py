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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.histogram import BINS, bin_edges

FloatArray = NDArray[np.float64]
Counts = NDArray[Any]  # int64, or the same in float64
NARROW = 1e-9  # steps
BLOCK = 256  # channels at a time, whose intermediates stay in the cache


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
        result = np.empty(anchor.shape)
        edges = bin_edges()
        if not histogram[:, : BINS // 2].any():
            edges, histogram = edges[BINS // 2 :], histogram[:, BINS // 2 :]
        work = np.empty((4, min(BLOCK, len(anchor)), len(edges)))  # searches of ranges spend their time here
        for start in range(0, len(anchor), BLOCK):
            block = slice(start, start + BLOCK)
            u, r, width, scale = self._codes(anchor, edges, block, work)
            u -= r
            squared = np.multiply(u, u, out=work[3, : len(u)])
            u *= squared
            u /= 3
            r /= 12
            r += u
            result[block] = _mean(histogram[block], width, r, squared) * scale * scale
        return result

    def expected_value(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[q(x)] of each channel, float64 [C]; arguments as above."""
        edges = bin_edges()
        work = np.empty((3, len(anchor), len(edges)))
        u, r, width, scale = self._codes(anchor, edges, slice(None), work)
        return _mean(histogram, width, r * (u - r / 2), r) * scale

    def _codes(
        self, anchor: FloatArray, edges: FloatArray, block: slice, work: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Of a block of channels: bin edges [E] in steps [C, E], their nearest level, widths of bins [C, E - 1], and
        the step [C]; all but the last in ``work``.
        """
        whole = np.broadcast_arrays(anchor, self.scale, self.first, self.last)
        anchor, scale, first, last = (field[block] for field in whole)
        u, r, widths = work[:3, : len(anchor)]
        np.multiply(edges, (anchor / scale)[:, None], out=u)
        width = np.subtract(u[:, 1:], u[:, :-1], out=widths[:, 1:])
        if self.shift:
            u -= self.shift
        np.rint(u, out=r)
        np.minimum(np.maximum(r, first[:, None], out=r), last[:, None], out=r)
        return u, r, width, scale


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
    per_bin = np.diff(antiderivative, axis=1)
    if width.min(initial=1) < NARROW:
        narrow = width < NARROW
        per_bin = np.where(narrow, at_edges[:, :-1], per_bin / np.where(narrow, 1, width))
    else:
        per_bin /= width
    per_bin *= histogram
    mean: FloatArray = per_bin.sum(axis=1) / np.maximum(histogram.sum(axis=1), 1)
    return mean
