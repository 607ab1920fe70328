"""Weights to codes: bits of each output channel, a grid over its full range, and a correction of what that changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq import published
from onnxq.allocation import allocate_by_spread
from onnxq.grids import codebook
from onnxq.grids.codebook import Codebook
from onnxq.grids.uniform import UniformGrid, dequantize, grid_from_range, quantize
from onnxq.recipe import Recipe

FloatArray = NDArray[np.float64]

SMALLEST_SPREAD = 1e-30  # of a channel whose standard deviation means anything in float32


@dataclass(frozen=True)
class CodedWeight:
    """A weight as codes and what they stand for.

    Attributes:
        codes: uint8, the shape of the weight, output channels first.
        bits: int32 [C] or [1], the width of the codes of each channel.
        grid: what they stand for: (code - zero_point) * scale, or levels of a codebook. A corrected zero point is not
            integral.
    """

    codes: NDArray[np.uint8]
    bits: NDArray[np.int32]
    grid: UniformGrid | Codebook

    def dequantized(self) -> NDArray[np.float32]:
        """What the layer computes with: float32, the shape of the weight."""
        if isinstance(self.grid, UniformGrid):
            return dequantize(self.codes.astype(np.float32), self.grid, axis=0)
        return codebook.dequantize(self.codes.reshape(len(self.codes), -1), self.grid).reshape(self.codes.shape)


def code_weight(
    weight: NDArray[np.float32], bits: float, recipe: Recipe, *, allocate: bool, edge: bool = False
) -> CodedWeight:
    """Codes of a weight [C, ...].

    A codebook pays where it serves many weights; those of the edges and of small channels (fewer weights than twice its
    levels) have a uniform grid.

    Args:
        bits: the width, or its mean where ``allocate`` gives each output channel its own.
        edge: the weight of the first or the last layer.
    """
    rows = weight.reshape(len(weight), -1)
    per_channel = recipe.weight_granularity == "per-channel"
    served = rows.shape[1] if per_channel else rows.size
    if recipe.weights == "kmeans" and not edge and served >= 2 ** (int(bits) + 1):
        codes, levels = codebook.kmeans(rows, int(bits), per_channel)
        book = Codebook(levels, np.ones(1, np.float32), np.zeros(1, np.float32))
        if recipe.weight_correction != "none":
            gain, offset = _correction(rows, codebook.dequantize(codes, book), recipe)
            book = Codebook(levels, gain.astype(np.float32), offset.astype(np.float32))
        return CodedWeight(codes.reshape(weight.shape), np.array([int(bits)], np.int32), book)

    widths = _widths(rows, bits, recipe) if allocate else np.array([int(bits)], np.int32)
    grid = _full_range_grid(rows if per_channel else rows.reshape(1, -1), widths, recipe)
    codes = quantize(rows, grid, axis=0).astype(np.uint8)
    if recipe.weight_correction != "none":
        grid = corrected_grid(grid, rows, codes, recipe)
    return CodedWeight(codes.reshape(weight.shape), grid.bits, grid)


def _widths(rows: NDArray[np.float32], bits: float, recipe: Recipe) -> NDArray[np.int32]:
    spread = spread_of(rows)
    return published.allocate(spread, bits) if recipe.published else allocate_by_spread(spread, bits)


def spread_of(rows: NDArray[np.float32]) -> FloatArray:
    """Standard deviation of each channel [C], or the size of its one weight."""
    if rows.shape[1] == 1:
        return np.abs(rows[:, 0]).astype(np.float64)
    return rows.std(axis=1, ddof=1, dtype=np.float64)


def _full_range_grid(rows: NDArray[np.float32], bits: NDArray[np.int32], recipe: Recipe) -> UniformGrid:
    lower, upper = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
    if recipe.format == "qdq":  # an integer type's zero point must be one of its codes
        lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
    mean = rows.mean(axis=1, dtype=np.float64)  # the one level of a channel of no bits
    widths = bits if len(bits) == len(lower) else int(bits[0])
    no_bits = np.broadcast_to(bits == 0, lower.shape)
    return grid_from_range(np.where(no_bits, mean, lower), np.where(no_bits, mean, upper), widths)


def corrected_grid(
    grid: UniformGrid, rows: NDArray[np.float32], codes: NDArray[np.uint8], recipe: Recipe
) -> UniformGrid:
    """The grid whose values for these codes have the mean (and the spread) of the weights.

    gain * (code - zero_point) * scale + offset is a grid again, of another scale and a zero point that is not integral:
    the codes stay as they are, and packed.
    """
    gain, offset = _correction(rows, dequantize(codes.astype(np.float32), grid, axis=0), recipe)
    gain = np.where(grid.scale * gain < np.finfo(np.float32).tiny, 1.0, gain)
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
        usable = (spread > SMALLEST_SPREAD) & (quantized_spread > SMALLEST_SPREAD)
        gain = np.where(usable, spread / np.maximum(quantized_spread, SMALLEST_SPREAD), 1.0)
    return gain, mean - gain * quantized_mean
