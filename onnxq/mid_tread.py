"""Mid-tread quantization with bin allocation, for codes of variable length (published beside ACIQ).

A channel gets a number of bins instead of bits; 2^bits is their mean, so that bits can be any number. (As published, n
bins have n + 1 levels: both ends of the range are on the grid.) Bins go to the channels in proportion to sigma^(2/3).
Weights keep their full range; activations are clipped by ACIQ for Laplace, whose multiplier is that of log2(bins). All
layers have the same bits, the first and the last included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq import published
from onnxq.activations import Seen
from onnxq.clipping.aciq import laplace_multiplier
from onnxq.grids.mid_tread import MidTreadGrid
from onnxq.grids.uniform import UniformGrid
from onnxq.recipe import Recipe
from onnxq.weights import CodedWeight, corrected_grid, spread_of

FloatArray = NDArray[np.float64]
MAX_BINS = 254.0  # codes of packed weights have 8 bits, and rounding of both ends can take one more


def allocate_bins(spread: FloatArray, bits: float, limit: float = np.inf) -> FloatArray:
    """Whole numbers of bins, together floor(C * 2^bits), in proportion to spread^(2/3) by largest remainders.

    Args:
        spread: float64 [C]. bits: log2 of the mean number of bins. limit: the most that a channel gets; what is left
            goes to the others.

    >>> allocate_bins(np.array([1.0, 8.0]), 4)
    array([ 6., 26.])
    """
    share = np.maximum(spread, max(spread.max(initial=0) * 1e-9, 1e-300)) ** (2 / 3)
    budget = float(np.floor(len(spread) * min(2**bits, limit) + 1e-9))
    low, high = 0.0, budget / float(share.min(initial=1.0))
    for _ in range(200):  # the factor at which the clamped shares spend the budget
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(share * middle, limit).sum() < budget else (low, middle)
    real = np.minimum(share * high, limit)
    bins = np.floor(real + 1e-9)
    remainder = np.where(bins < limit, real - bins, -1)
    bins[np.argsort(-remainder, kind="stable")[: int(budget - bins.sum())]] += 1
    return bins


def mid_tread_grid(seen: Seen, bits: float, recipe: Recipe) -> MidTreadGrid:
    """The grid of an activation: clipped at the Laplace threshold, full or half range.

    The outermost codes are whole numbers; those of the published system are not, so that clipped values lie off its
    grid and cost symbols of their own.
    """
    spread = seen.spread
    if recipe.published:
        bins = published.mid_tread_bins(spread, bits)
        multiplier = published.mid_tread_multiplier(bins * (2 if seen.half else 1))
    else:
        bins = allocate_bins(spread, bits)
        multiplier = np.array([laplace_multiplier(np.log2(n) + seen.half) if n >= 1 else 0.0 for n in bins])
    mean, b, _ = seen.moments()
    centre = np.maximum(mean, 0) if seen.half else mean
    reach = centre + multiplier * b if seen.half else 2 * multiplier * b
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where((bins > 0) & (reach > 0), reach / bins, 1.0)
    if seen.half:
        first, last = np.zeros_like(scale), bins + (centre / scale if recipe.published else 0)
    else:
        first, last = mean / scale - bins / 2, mean / scale + bins / 2
    first, last = (np.where(bins > 0, code, 0) for code in (first, last))
    if not recipe.published:
        constant = (bins == 0) | (reach <= 0)  # its one level is its mean; the published one is zero
        own_mean = seen.own.mean
        scale = np.where(constant & (own_mean != 0), np.abs(own_mean), scale)
        first, last = (np.where(constant, np.sign(own_mean), np.rint(code)) for code in (first, last))
    return MidTreadGrid(*(array.astype(np.float32) for array in (scale, first, last)))


def code_weight_mid_tread(weight: NDArray[np.float32], bits: float, recipe: Recipe) -> CodedWeight:
    """Codes of a weight [C, ...]: round(w / step), step = range / bins, and the recipe's correction.

    A channel of no bins or no width is its mean (published: zero). No channel has more than 254 bins: its codes have 8
    bits.
    """
    rows = weight.reshape(len(weight), -1)
    spread = spread_of(rows)
    if recipe.published:
        bins = np.minimum(published.mid_tread_bins(spread, bits), MAX_BINS)
    else:
        bins = allocate_bins(spread, bits, MAX_BINS)
    reach = rows.max(axis=1).astype(np.float64) - rows.min(axis=1)
    mean = rows.mean(axis=1, dtype=np.float64)
    step = np.where((bins > 0) & (reach > 0), reach / np.maximum(bins, 1), 0.0)
    used = step >= np.finfo(np.float32).tiny
    level = np.where(recipe.published or np.abs(mean) < np.finfo(np.float32).tiny, 0.0, mean)
    step = np.where(used, step, np.where(level != 0, np.abs(level), 1.0)).astype(np.float32)
    codes = np.where(used[:, None], np.rint(rows / step[:, None]), np.sign(level)[:, None])
    first = codes.min(axis=1)
    width = np.ceil(np.log2(codes.max(axis=1) - first + 1)).astype(np.int32)
    grid = UniformGrid(step, (-first).astype(np.float32), width)
    stored = (codes - first[:, None]).astype(np.uint8)
    if recipe.weight_correction != "none":
        grid = corrected_grid(grid, rows, stored, recipe)
    return CodedWeight(stored.reshape(weight.shape), width, grid)
