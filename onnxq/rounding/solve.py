"""Codes and parameters of a layer's weight from its moments. The entrance of ``rounding``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.parallel import in_parallel
from onnxq.core.qparams import QuantizedWeight, WeightParams
from onnxq.rounding.coordinate_descent import coordinate_descent
from onnxq.rounding.error_feedback import error_feedback, feedback_factor
from onnxq.rounding.grids import Codes, FloatArray, Grid, Limits, grid_of
from onnxq.rounding.moments import Moments
from onnxq.rounding.parallel import product
from onnxq.rounding.patterns import MOST_INPUTS, best_pattern

ROUNDS = 2  # of fitting scales to codes, and codes to scales
CHANNELS = 128  # that one task rounds
LARGEST_CHANGE = 2.0  # of a scale by its fit to the codes

Piece = tuple[slice, slice]  # groups, and output channels of each


@dataclass(frozen=True)
class Freedom:
    """What may be changed of a weight's parameters.

    Attributes:
        factors: that scales may be multiplied by, float64, 1 among them.
        shared: one scale serves all channels.
        refits: scales may have any value. offsets: levels may be moved off zero.
        limits: the first and the last code of each channel, where a format does not use all of its width.
    """

    factors: FloatArray
    shared: bool = False
    refits: bool = True
    offsets: bool = False
    limits: Limits | None = None


def output_error(values: FloatArray, moments: Moments) -> float:
    """E|y - V x^|^2 without what does not depend on V = ``values``, float64 [g, r, d]; centred."""
    return float(((product(values, moments.own) - 2 * moments.cross) * values).sum())


def round_by_output(
    target: FloatArray,
    params: WeightParams,
    curvature: FloatArray,
    freedom: Freedom,
    shape: tuple[int, ...],
) -> QuantizedWeight:
    """A weight float64 [g, r, d] to codes of small error in the layer's output, and scales to these."""
    groups, rows, width = target.shape
    channels = groups * rows
    if width <= MOST_INPUTS:
        params = _searched(params, freedom, channels, lambda grid: best_pattern(target, grid, curvature)[1])
        codes = best_pattern(target, grid_of(params, channels, freedom.limits), curvature)[0]
    else:
        diagonal = np.diagonal(curvature, axis1=1, axis2=2)

        def diagonal_errors(grid: Grid) -> FloatArray:
            flat = target.reshape(channels, width)
            error = (grid.levels(grid.nearest(flat)) - flat).reshape(target.shape)
            return np.asarray((np.square(error) @ diagonal[:, :, None])[:, :, 0])

        params = _searched(params, freedom, channels, diagonal_errors)
        grid = grid_of(params, channels, freedom.limits)
        factor, order = feedback_factor(curvature)

        def fed_back(piece: Piece) -> Codes:
            part, of = target[piece], grid.at(_channels(target, piece))
            return coordinate_descent(
                part, error_feedback(part, of, factor[piece[0]], order[piece[0]]), of, curvature[piece[0]]
            )

        codes = _in_pieces(target, fed_back)
    for _ in range(ROUNDS if freedom.refits else 0):
        params = _refitted(params, target, codes, curvature, freedom)
        codes = _descended(target, codes, grid_of(params, channels, freedom.limits), curvature)
    kind = np.uint8 if params.widths.max(initial=0) <= 8 else np.uint16
    return QuantizedWeight(codes.reshape(shape).astype(kind), params)


def _descended(target: FloatArray, codes: Codes, grid: Grid, curvature: FloatArray) -> Codes:
    return _in_pieces(
        target,
        lambda piece: coordinate_descent(
            target[piece], codes[piece], grid.at(_channels(target, piece)), curvature[piece[0]]
        ),
    )


def _in_pieces(target: FloatArray, codes_of: Callable[[Piece], Codes]) -> Codes:
    """Codes int64 [g, r, d], piece by piece; channels of a piece visit the same columns."""
    groups, rows, _ = target.shape
    many = max(CHANNELS // rows, 1)
    pieces = [
        (slice(group, group + many), slice(row, row + CHANNELS))
        for group in range(0, groups, many)
        for row in range(0, rows, CHANNELS)
    ]
    codes = np.empty(target.shape, np.int64)
    for piece, found in zip(pieces, in_parallel(codes_of, pieces), strict=True):
        codes[piece] = found
    return codes


def _channels(target: FloatArray, piece: Piece) -> NDArray[np.int64]:
    """Numbers of the output channels of a piece."""
    groups, rows, _ = target.shape
    return np.arange(groups * rows).reshape(groups, rows)[piece].ravel()


def _searched(
    params: WeightParams, freedom: Freedom, channels: int, error: Callable[[Grid], FloatArray]
) -> WeightParams:
    """Scales multiplied by the factors of smallest error, float64 [g, r] for a grid."""

    def of(factor: float) -> FloatArray:
        return error(grid_of(params.scaled(np.full(1, factor)), channels, freedom.limits)).reshape(channels)

    table = np.stack(in_parallel(of, [float(factor) for factor in freedom.factors]))
    if freedom.shared:
        return params.scaled(freedom.factors[[table.sum(axis=1).argmin()]])
    return params.scaled(freedom.factors[table.argmin(axis=0)])


def _refitted(
    params: WeightParams, target: FloatArray, codes: Codes, curvature: FloatArray, freedom: Freedom
) -> WeightParams:
    """Parameters of smallest error for codes: each row's levels times a, plus o."""
    groups, rows, width = target.shape
    values = grid_of(params, groups * rows, freedom.limits).levels(codes.reshape(-1, width)).reshape(target.shape)
    curved = product(values, curvature)
    ones = curvature.sum(axis=1)[:, None, :]  # 1 H
    own, own_one = (curved * values).sum(axis=2), (values * ones).sum(axis=2)
    one = np.broadcast_to(ones.sum(axis=2), own.shape)
    right, right_one = (curved * target).sum(axis=2), (target * ones).sum(axis=2)
    if freedom.shared:
        own, own_one, one, right, right_one = (
            np.broadcast_to(part.sum(), part.shape) for part in (own, own_one, one, right, right_one)
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        if freedom.offsets:
            determinant = own * one - own_one**2
            usable = determinant > 1e-9 * own * one
            gain = np.where(usable, (right * one - right_one * own_one) / determinant, 1.0)
        else:
            gain = right / own
        gain = np.where((gain > 1 / LARGEST_CHANGE) & (gain < LARGEST_CHANGE), gain, 1.0)
        offset = (right_one - gain * own_one) / one if freedom.offsets else np.zeros_like(gain)
    offset = np.where(np.isfinite(offset), offset, 0.0)
    gain, offset = gain.reshape(-1), offset.reshape(-1)
    if freedom.shared:
        gain, offset = gain[:1], offset[:1]
    return params.corrected(gain, offset) if freedom.offsets else params.scaled(gain)
