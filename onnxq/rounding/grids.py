"""The levels that weights may take, for rounding one column after the other. A part of ``rounding``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.core.qparams import WeightParams
from onnxq.formats.affine import AffineParams
from onnxq.formats.codebook import CodebookWeightParams

FloatArray = NDArray[np.float64]
Codes = NDArray[np.int64]


class Grid(Protocol):
    """The levels of C output channels, ascending. Arrays are [C, ...]: the first axis tells the channel."""

    def nearest(self, values: FloatArray) -> Codes:
        """The code of the nearest level of each value."""

    def below(self, values: FloatArray) -> Codes:
        """The code of the lower one of the two levels that enclose each value, as far as there are such."""

    def levels(self, codes: Codes) -> FloatArray:
        """What codes stand for."""

    def span(self, codes: Codes) -> FloatArray:
        """How far the next level lies above that of each code; 0 above the last one."""

    def at(self, rows: NDArray[np.int64]) -> Grid:
        """The grid of some of the channels."""


def _column(values: FloatArray, rank: int) -> FloatArray:
    return values.reshape(-1, *[1] * (rank - 1))


@dataclass(frozen=True)
class UniformGrid:
    """start + code * step, code = bottom .. top; float64 [C] each."""

    start: FloatArray
    step: FloatArray
    top: FloatArray
    bottom: FloatArray

    def nearest(self, values: FloatArray) -> Codes:
        """As ``Grid.nearest``; half to even."""
        return self._clipped(np.rint(self._position(values)), 0)

    def below(self, values: FloatArray) -> Codes:
        """As ``Grid.below``."""
        return self._clipped(np.floor(self._position(values)), 1)

    def levels(self, codes: Codes) -> FloatArray:
        """As ``Grid.levels``."""
        return codes * _column(self.step, codes.ndim) + _column(self.start, codes.ndim)

    def span(self, codes: Codes) -> FloatArray:
        """As ``Grid.span``."""
        return (codes < _column(self.top, codes.ndim)) * _column(self.step, codes.ndim)

    def at(self, rows: NDArray[np.int64]) -> UniformGrid:
        """As ``Grid.at``."""
        return UniformGrid(self.start[rows], self.step[rows], self.top[rows], self.bottom[rows])

    def _position(self, values: FloatArray) -> FloatArray:
        return (values - _column(self.start, values.ndim)) / _column(self.step, values.ndim)

    def _clipped(self, positions: FloatArray, room: int) -> Codes:
        bottom = _column(self.bottom, positions.ndim)
        top = np.maximum(_column(self.top, positions.ndim) - room, bottom)
        return np.minimum(np.maximum(positions, bottom), top).astype(np.int64)


@dataclass(frozen=True)
class LevelGrid:
    """Any levels, float64 [C, K], ascending; the last ones can be repeated."""

    table: FloatArray

    def nearest(self, values: FloatArray) -> Codes:
        """As ``Grid.nearest``; the lower one on a bound."""
        return self._above((self.table[:, :-1] + self.table[:, 1:]) / 2, values)

    def below(self, values: FloatArray) -> Codes:
        """As ``Grid.below``."""
        return self._above(self.table[:, 1:-1], values)

    def levels(self, codes: Codes) -> FloatArray:
        """As ``Grid.levels``."""
        return np.take_along_axis(self.table, codes.reshape(len(codes), -1), axis=1).reshape(codes.shape)

    def span(self, codes: Codes) -> FloatArray:
        """As ``Grid.span``."""
        return self.levels(np.minimum(codes + 1, self.table.shape[1] - 1)) - self.levels(codes)

    def at(self, rows: NDArray[np.int64]) -> LevelGrid:
        """As ``Grid.at``."""
        return LevelGrid(self.table[rows])

    def _above(self, bounds: FloatArray, values: FloatArray) -> Codes:
        """How many bounds of its channel each value exceeds."""
        if values.ndim == 1:
            return np.asarray((values[:, None] > bounds).sum(axis=1))
        rows = [np.searchsorted(own, row, side="left") for own, row in zip(bounds, values, strict=True)]
        return np.array(rows, np.int64).reshape(values.shape)


Limits = tuple[NDArray[Any], NDArray[Any]]  # the first and the last code of each channel


def has_grid(params: WeightParams) -> bool:
    """Whether ``grid_of`` knows the levels."""
    return isinstance(params, (AffineParams, CodebookWeightParams))


def grid_of(params: WeightParams, channels: int, limits: Limits | None = None) -> Grid:
    """The levels of a weight of so many output channels.

    Args:
        limits: of codes, where a format does not use all of its width.

    Raises:
        TypeError: the format's levels are not known (``has_grid``).
    """
    if isinstance(params, AffineParams):
        scale = np.broadcast_to(params.scale.astype(np.float64), channels)
        bottom, top = limits if limits is not None else (np.zeros(1), np.exp2(params.bits) - 1)
        bottom, top = (np.broadcast_to(bound.astype(np.float64), channels) for bound in (bottom, top))
        return UniformGrid(-params.zero_point.astype(np.float64) * scale, scale, top, bottom)
    if isinstance(params, CodebookWeightParams):
        table = params.levels * params.scale[:, None].astype(np.float64) + params.offset[:, None]
        return LevelGrid(np.broadcast_to(table, (channels, table.shape[1])))
    raise TypeError(f"the levels of {type(params).__name__} are not known")
