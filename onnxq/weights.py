"""Weights to codes: bits of each output channel, a grid over its full range, and a correction of what that changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq import published
from onnxq.allocation import allocate_by_spread
from onnxq.grids.codebook import kmeans_codebook, look_up
from onnxq.grids.uniform import UniformGrid, dequantize, grid_from_range, quantize
from onnxq.recipe import Recipe

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CodedWeight:
    """A weight as codes and what they stand for.

    Attributes:
        codes: uint8, the shape of the weight, output channels first.
        bits: int32 [C] or [1], the width of the codes of each channel.
        grid: value = (code - zero_point) * scale; a corrected zero point is not integral. None for a codebook.
        levels: float32 [C or 1, K], value = levels[code]; None for a grid.
    """

    codes: NDArray[np.uint8]
    bits: NDArray[np.int32]
    grid: UniformGrid | None = None
    levels: NDArray[np.float32] | None = None

    def dequantized(self) -> NDArray[np.float32]:
        """What the layer computes with: float32, the shape of the weight."""
        if self.grid is not None:
            return dequantize(self.codes.astype(np.float32), self.grid, axis=0)
        assert self.levels is not None
        return look_up(self.levels, self.codes.reshape(len(self.codes), -1)).reshape(self.codes.shape)


def code_weight(weight: NDArray[np.float32], bits: float, recipe: Recipe, *, allocate: bool) -> CodedWeight:
    """Codes of a weight [C, ...].

    Args:
        bits: the width, or its mean where ``allocate`` gives each output channel its own.
    """
    rows = weight.reshape(len(weight), -1)
    per_channel = recipe.weight_granularity == "per-channel"
    if recipe.weights == "kmeans":
        codes, levels = kmeans_codebook(rows, int(bits), per_channel)
        if recipe.weight_correction != "none":
            gain, offset = _correction(rows, look_up(levels, codes), recipe)
            levels = (levels * gain[:, None] + offset[:, None]).astype(np.float32)
        return CodedWeight(codes.reshape(weight.shape), np.array([int(bits)], np.int32), levels=levels)

    widths = _widths(rows, bits, recipe) if allocate else np.array([int(bits)], np.int32)
    grid = _full_range_grid(rows if per_channel else rows.reshape(1, -1), widths, recipe)
    codes = quantize(rows, grid, axis=0).astype(np.uint8)
    if recipe.weight_correction != "none":
        grid = _corrected(grid, rows, codes, recipe)
    return CodedWeight(codes.reshape(weight.shape), grid.bits, grid=grid)


def _widths(rows: NDArray[np.float32], bits: float, recipe: Recipe) -> NDArray[np.int32]:
    """Bits of each channel by its standard deviation, or by its size where that has none (one weight a channel)."""
    single = rows.shape[1] == 1
    spread = np.abs(rows[:, 0]).astype(np.float64) if single else rows.std(axis=1, ddof=1, dtype=np.float64)
    return published.allocate(spread, bits) if recipe.published else allocate_by_spread(spread, bits)


def _full_range_grid(rows: NDArray[np.float32], bits: NDArray[np.int32], recipe: Recipe) -> UniformGrid:
    lower, upper = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
    if recipe.format == "qdq":  # an integer type's zero point must be one of its codes
        lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
    mean = rows.mean(axis=1, dtype=np.float64)  # the one level of a channel of no bits
    widths = bits if len(bits) == len(lower) else int(bits[0])
    no_bits = np.broadcast_to(bits == 0, lower.shape)
    return grid_from_range(np.where(no_bits, mean, lower), np.where(no_bits, mean, upper), widths)


def _corrected(grid: UniformGrid, rows: NDArray[np.float32], codes: NDArray[np.uint8], recipe: Recipe) -> UniformGrid:
    """The grid whose values for these codes have the mean (and the spread) of the weights.

    gain * (code - zero_point) * scale + offset is a grid again, of another scale and a zero point that is not integral:
    the codes stay as they are, and packed.
    """
    gain, offset = _correction(rows, dequantize(codes.astype(np.float32), grid, axis=0), recipe)
    scale = (grid.scale * gain).astype(np.float32)
    zero_point = (grid.zero_point * grid.scale * gain - offset) / scale
    return UniformGrid(scale, zero_point.astype(np.float32), np.broadcast_to(grid.bits, scale.shape).copy())


def _correction(
    rows: NDArray[np.float32], quantized: NDArray[np.float32], recipe: Recipe
) -> tuple[FloatArray, FloatArray]:
    """(gain, offset) of each channel: quantized * gain + offset has the mean of the weights.

    With ``mean-variance`` it has their standard deviation too: the published code's order, spread about the quantized
    mean first, then the mean (Banner et al. 2019, eq. 12 and 13, scale the mean as well).
    """
    mean, quantized_mean = (values.mean(axis=1, dtype=np.float64) for values in (rows, quantized))
    gain = np.ones(len(rows))
    if recipe.weight_correction == "mean-variance" and rows.shape[1] > 1:
        spread, quantized_spread = (values.std(axis=1, ddof=1, dtype=np.float64) for values in (rows, quantized))
        gain = np.where(quantized_spread > 0, spread / (quantized_spread + 1e-8), 1.0)
    return gain, mean - gain * quantized_mean
