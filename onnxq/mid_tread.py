"""Mid-tread quantization with bin allocation, for codes of variable length (published beside ACIQ).

A channel gets a number of bins instead of bits; 2^bits is their mean, so that bits can be any number. Bins go to the
channels in proportion to sigma^(2/3). Weights keep their full range, activations are clipped by ACIQ for Laplace,
whose multiplier is that of log2(bins).
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
from onnxq.weights import CodedWeight

FloatArray = NDArray[np.float64]
MAX_BINS = 255.0  # codes of packed weights have 8 bits


def allocate_bins(spread: FloatArray, bits: float) -> FloatArray:
    """Whole numbers of bins, together floor(C * 2^bits), in proportion to spread^(2/3) by largest remainders.

    Args:
        spread: float64 [C]. bits: log2 of the mean number of bins.

    >>> allocate_bins(np.array([1.0, 8.0]), 4)
    array([ 6., 26.])
    """
    share = spread ** (2 / 3)
    total = share.sum()
    share = share / total if total > 0 else np.full(len(spread), 1 / len(spread))
    budget = np.floor(len(spread) * 2**bits + 1e-9)
    bins = np.floor(budget * share)
    missing = int(budget - bins.sum())
    bins[np.argsort(-(budget * share - bins), kind="stable")[:missing]] += 1
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
        first, last = np.rint(first), np.rint(last)
    return MidTreadGrid(*(array.astype(np.float32) for array in (scale, first, last)))


def code_weight_mid_tread(weight: NDArray[np.float32], bits: float, recipe: Recipe) -> CodedWeight:
    """Codes of a weight [C, ...]: round(w / step), step = range / bins. A channel of no bins is zero."""
    rows = weight.reshape(len(weight), -1)
    single = rows.shape[1] == 1
    spread = np.abs(rows[:, 0]).astype(np.float64) if single else rows.std(axis=1, ddof=1, dtype=np.float64)
    allocate = published.mid_tread_bins if recipe.published else allocate_bins
    bins = np.minimum(allocate(spread, bits), MAX_BINS - 1)
    reach = rows.max(axis=1).astype(np.float64) - rows.min(axis=1)
    used = (bins > 0) & (reach > 0)
    step = np.where(used, reach / np.maximum(bins, 1), 1.0).astype(np.float32)
    codes = np.where(used[:, None], np.rint(rows / step[:, None]), 0)
    first = codes.min(axis=1)
    width = np.ceil(np.log2(codes.max(axis=1) - first + 1)).astype(np.int32)
    grid = UniformGrid(step, (-first).astype(np.float32), width)
    return CodedWeight((codes - first[:, None]).astype(np.uint8).reshape(weight.shape), width, grid=grid)
