"""Weights to codes: bits of each output channel, a grid over its range, and a correction of what that changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq import published
from onnxq.allocation import allocate_by_spread
from onnxq.clipping.threshold import value_threshold
from onnxq.grids import codebook, fixed_point
from onnxq.grids.apot import levels_of
from onnxq.grids.codebook import Codebook
from onnxq.grids.fixed_point import FixedPointGrid
from onnxq.grids.uniform import UniformGrid, dequantize, grid_from_range, quantize
from onnxq.recipe import POWERS, Recipe

FloatArray = NDArray[np.float64]

SAMPLE, SAMPLES = 512, 65536  # weights that thresholds are fitted on: of a channel, and of a tensor
FITTING_STEPS = 8
STARTS = (0.0, -0.25, 0.25, -0.5, 0.5)
MOST_PACKED = 8  # bits; wider codes are stored as they are
SMALLEST_SPREAD = 1e-30  # of a channel whose standard deviation means anything in float32


@dataclass(frozen=True)
class CodedWeight:
    """A weight as codes and what they stand for.

    Attributes:
        codes: uint8 (uint16 for more than 8 bits), the shape of the weight, output channels first.
        bits: int32 [C] or [1], the width of the codes of each channel.
        grid: what they stand for: (code - zero_point) * scale, or levels of a codebook. A corrected zero point is not
            integral.
    """

    codes: NDArray[Any]
    bits: NDArray[np.int32]
    grid: UniformGrid | Codebook

    def dequantized(self) -> NDArray[np.float32]:
        """What the layer computes with: float32, the shape of the weight."""
        if isinstance(self.grid, UniformGrid):
            return dequantize(self.codes.astype(np.float32), self.grid, axis=0)
        return codebook.dequantize(self.codes.reshape(len(self.codes), -1), self.grid).reshape(self.codes.shape)


def code_weight(
    weight: NDArray[np.float32],
    bits: float,
    recipe: Recipe,
    *,
    allocate: bool,
    edge: bool = False,
    alpha: float | None = None,
) -> CodedWeight:
    """Codes of a weight [C, ...].

    Weights of the edges have a uniform grid, but in fixed point. So do small channels with k-means (fewer weights than
    twice its levels): a codebook of their own pays where it serves many weights.

    Args:
        bits: the width, or its mean where ``allocate`` gives each output channel its own.
        edge: the weight of the first or the last layer.
        alpha: the threshold of (additive) powers of two, in standard deviations; searched for where None.
    """
    rows = weight.reshape(len(weight), -1)
    per_channel = recipe.weight_granularity == "per-channel"
    served = rows.shape[1] if per_channel else rows.size
    if recipe.weights == "fixed-point":
        return _fixed_point(weight, int(bits), per_channel, recipe)
    if recipe.weights in POWERS and not edge:
        codes, book = _powers(rows, int(bits), per_channel, recipe, alpha)
        return _corrected_codebook(weight, codes, book, int(bits), recipe)
    if recipe.weights == "kmeans" and not edge and served >= 2 ** (int(bits) + 1):
        codes, levels = codebook.kmeans(rows, int(bits), per_channel)
        book = Codebook(levels, np.ones(1, np.float32), np.zeros(1, np.float32))
        return _corrected_codebook(weight, codes, book, int(bits), recipe)

    widths = _widths(rows, bits, recipe) if allocate else np.array([int(bits)], np.int32)
    grid = _full_range_grid(rows if per_channel else rows.reshape(1, -1), widths, recipe)
    codes = quantize(rows, grid, axis=0).astype(np.uint8)
    if recipe.weight_correction != "none":
        grid = corrected_grid(grid, rows, codes, recipe)
    return CodedWeight(codes.reshape(weight.shape), grid.bits, grid)


def _corrected_codebook(
    weight: NDArray[np.float32], codes: NDArray[np.uint8], book: Codebook, bits: int, recipe: Recipe
) -> CodedWeight:
    if recipe.weight_correction != "none":
        rows = weight.reshape(len(weight), -1)
        gain, offset = _correction(rows, codebook.dequantize(codes, book), recipe)
        scale, shift = book.scale * gain, book.offset * gain + offset
        book = Codebook(book.levels, scale.astype(np.float32), shift.astype(np.float32))
    return CodedWeight(codes.reshape(weight.shape), np.array([bits], np.int32), book)


def _powers(
    rows: NDArray[np.float32], bits: int, per_channel: bool, recipe: Recipe, alpha: float | None
) -> tuple[NDArray[np.uint8], Codebook]:
    """Nearest (additive) powers of two of the weights brought to mean 0 and deviation 1 (Li et al. 2020, section 2.3).

    The published system leaves it at that and lets batch norm undo it; here scale and offset do.
    """
    levels = levels_of("pot" if recipe.weights == "pot" else "apot", bits, signed=True)
    groups = (rows if per_channel else rows.reshape(1, -1)).astype(np.float64)
    mean, spread = groups.mean(axis=1), groups.std(axis=1, ddof=min(1, groups.shape[1] - 1))
    spread = np.where(spread > SMALLEST_SPREAD, spread, 1.0)
    normalized = (groups - mean[:, None]) / spread[:, None]
    if alpha is None:
        sample = _sample(normalized)
        threshold, centre = _fitted(sample, levels, value_threshold(sample, levels))
    else:
        threshold, centre = np.full(len(groups), alpha), np.zeros(len(groups))
    codes = _nearest(normalized, levels, threshold, centre)
    scale, offset = (array.astype(np.float32) for array in (threshold * spread, mean + centre * spread))
    return codes.reshape(rows.shape), Codebook(levels[None], scale, offset)


def _sample(rows: FloatArray) -> FloatArray:
    """Some columns at random: a regular choice would see but one tap of a kernel."""
    wanted = max(SAMPLE, SAMPLES // len(rows))
    if rows.shape[1] <= wanted:
        return rows
    return rows[:, np.random.default_rng(0).choice(rows.shape[1], wanted, replace=False)]


def _nearest(rows: FloatArray, levels: NDArray[np.float32], scale: FloatArray, offset: FloatArray) -> NDArray[np.uint8]:
    places = (rows - offset[:, None]) / scale[:, None]
    return np.searchsorted(codebook.bounds_of(levels), places, side="left").astype(np.uint8)


def _fitted(rows: FloatArray, levels: NDArray[np.float32], scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale and offset of each row, float64 [C], from alternately taking the nearest levels and regressing on them.

    Each step lowers the squared error. Of several starts the best end counts: ``scale`` around the mean and to either
    side of it, and the whole range.
    """
    low, high = rows.min(axis=1), rows.max(axis=1)
    starts = [(scale, shift * scale) for shift in STARTS] + [((high - low) / 2, (high + low) / 2)]
    best = [np.ones(len(rows)), np.zeros(len(rows)), np.full(len(rows), np.inf)]
    for start_scale, offset in starts:
        scale = np.where(start_scale > 0, start_scale, 1.0)
        for _ in range(FITTING_STEPS):
            level = levels[_nearest(rows, levels, scale, offset)].astype(np.float64)
            centred = level - level.mean(axis=1, keepdims=True)
            variance = (centred * centred).sum(axis=1)
            slope = (centred * rows).sum(axis=1) / np.maximum(variance, 1e-30)
            usable = (variance > 0) & (slope > 0)
            scale = np.where(usable, slope, scale)
            offset = np.where(usable, rows.mean(axis=1) - scale * level.mean(axis=1), offset)
        quantized = levels[_nearest(rows, levels, scale, offset)] * scale[:, None] + offset[:, None]
        error = ((rows - quantized) ** 2).sum(axis=1)
        better = error < best[2]
        best = [np.where(better, new, old) for new, old in zip((scale, offset, error), best, strict=True)]
    return best[0], best[1]


def fixed_point_format(values: NDArray[np.float32], bits: int, per_channel: bool, recipe: Recipe) -> FixedPointGrid:
    """The two's complement format of a parameter, for each index of its first axis or for the whole of it.

    Parameters are rounded to nearest and saturate, whatever activations do.
    """
    magnitudes = np.abs(values.reshape(len(values), -1) if per_channel else values.reshape(1, -1))
    index = int(recipe.overflow_rate * magnitudes.shape[1])
    reach = -np.partition(-magnitudes, index, axis=1)[:, index]
    return fixed_point.grid_from_reach(reach, bits, published=recipe.published)


def _fixed_point(weight: NDArray[np.float32], bits: int, per_channel: bool, recipe: Recipe) -> CodedWeight:
    """Codes with 2^(bits - 1) added, so that they are unsigned."""
    grid = fixed_point_format(weight, bits, per_channel, recipe)
    half = np.float32(2.0 ** (bits - 1))
    codes = fixed_point.codes_of(weight, grid, axis=0) + half
    step = np.ldexp(np.float32(1), -grid.fraction_bits).astype(np.float32)
    uniform = UniformGrid(step, np.full_like(step, half), np.full(1, bits, np.int32))
    return CodedWeight(codes.astype(np.uint8 if bits <= MOST_PACKED else np.uint16), uniform.bits, uniform)


def scaled(coded: CodedWeight, gain: FloatArray) -> CodedWeight:
    """The same codes for weights ``gain`` times as large, float64 [C]."""
    scale = (coded.grid.scale * gain).astype(np.float32)
    if isinstance(coded.grid, UniformGrid):
        zero_point = np.broadcast_to(coded.grid.zero_point, scale.shape).copy()
        bits = np.broadcast_to(coded.bits, scale.shape).copy()
        return CodedWeight(coded.codes, bits, UniformGrid(scale, zero_point, bits))
    return replace(coded, grid=Codebook(coded.grid.levels, scale, (coded.grid.offset * gain).astype(np.float32)))


def _widths(rows: NDArray[np.float32], bits: float, recipe: Recipe) -> NDArray[np.int32]:
    spread = spread_of(rows)
    return published.allocate(spread, bits) if recipe.published else allocate_by_spread(spread, bits)


def spread_of(rows: NDArray[np.float32]) -> FloatArray:
    """Standard deviation of each channel [C], or the size of its one weight."""
    if rows.shape[1] == 1:
        return np.abs(rows[:, 0]).astype(np.float64)
    return rows.std(axis=1, ddof=1, dtype=np.float64)


def _full_range_grid(rows: NDArray[np.float32], bits: NDArray[np.int32], recipe: Recipe) -> UniformGrid:
    if recipe.symmetric or recipe.has_integer_kernels:
        top = np.exp2(bits - 1.0) - 1
        scale = np.maximum(np.abs(rows).max(axis=1) / top, np.finfo(np.float32).eps).astype(np.float32)
        return UniformGrid(scale, np.broadcast_to((top + 1).astype(np.float32), scale.shape), bits)
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
