"""Codebooks: any ascending levels, times a scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.grids.uniform import broadcastable

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class CodebookGrid:
    """A grid for a whole tensor (a scale of one value) or for each of its channels.

    Attributes:
        scale: float32 [C] or [1], positive: the clipping threshold where the levels end at 1.
        levels: float32 [K], ascending, at most 256, the same for all channels.
    """

    scale: FloatArray
    levels: FloatArray


def bounds_of(levels: FloatArray) -> FloatArray:
    """The bounds between levels, float32 [K - 1]."""
    return (levels[:-1] + levels[1:]) * np.float32(0.5)


def codes_of(x: FloatArray, grid: CodebookGrid, axis: int) -> NDArray[np.uint8]:
    """Index of the level nearest to x / scale, the lower one on a bound; uint8, the shape of x. NaN gives the last."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = np.asarray(x, np.float32) / broadcastable(grid.scale, x.ndim, axis)
    return np.searchsorted(bounds_of(grid.levels), u, side="left").astype(np.uint8)


def fake_quantize(x: FloatArray, grid: CodebookGrid, axis: int) -> FloatArray:
    """levels[nearest to x / scale] * scale: the oracle of ``FakeQuantizeCodebook``, float32; NaN stays NaN.

    >>> fake_quantize(np.float32([-1, 0.5, 0.6, 9]), CodebookGrid(np.float32([2]), np.float32([0, 0.5, 1])), axis=0)
    array([0., 0., 1., 2.], dtype=float32)
    """
    scale = broadcastable(grid.scale, x.ndim, axis)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = np.asarray(x, np.float32) / scale
        nearest = grid.levels[codes_of(x, grid, axis)] * scale
    return np.where(np.isnan(u), np.float32(np.nan), nearest).astype(np.float32)


@dataclass(frozen=True)
class Codebook:
    """What the codes of a weight stand for: levels * scale + offset.

    Attributes:
        levels: float32 [C, K] or [1, K]. scale, offset: float32 [C] or [1].
    """

    levels: FloatArray
    scale: FloatArray
    offset: FloatArray


def dequantize(codes: NDArray[np.uint8], book: Codebook) -> FloatArray:
    """levels[channel, code] * scale + offset: codes uint8 [C, n] to float32 [C, n]."""
    all_levels = np.broadcast_to(book.levels, (len(codes), book.levels.shape[1]))
    levels = np.take_along_axis(all_levels, codes.astype(np.int64), axis=1)
    return levels * book.scale[:, None] + book.offset[:, None]


def kmeans(rows: FloatArray, bits: int, per_channel: bool) -> tuple[NDArray[np.uint8], FloatArray]:
    """Levels of smallest squared error, by k-means.

    Args:
        rows: float32 [C, n]. bits: 2 to 8. per_channel: a codebook for each row, or one for all.

    Returns:
        codes uint8 [C, n], and levels float32 [C, 2^bits] or [1, 2^bits], ascending.

    Raises:
        OnnxqError: scikit-learn, which does the clustering, is not installed.
    """
    groups = rows if per_channel else rows.reshape(1, -1)
    books = [_cluster(values, 2**bits) for values in groups]
    codes = np.stack([codes for codes, _ in books]).reshape(rows.shape)
    return codes, np.stack([levels for _, levels in books])


def _cluster(values: FloatArray, count: int) -> tuple[NDArray[np.uint8], FloatArray]:
    """Codes and ascending levels of one group; a group of few distinct values keeps them all."""
    distinct, index, multiplicity = np.unique(values, return_inverse=True, return_counts=True)
    levels = distinct
    if len(distinct) > count:
        try:
            from sklearn.cluster import KMeans
        except ImportError as error:
            raise OnnxqError("k-means needs scikit-learn: pip install 'onnxq[kmeans]'") from error
        fit = KMeans(count, n_init=1, random_state=0).fit(distinct[:, None], sample_weight=multiplicity)
        levels = np.sort(fit.cluster_centers_[:, 0]).astype(np.float32)
    codes = np.searchsorted(bounds_of(levels), distinct, side="left").astype(np.uint8)[index.reshape(-1)]
    return codes, np.append(levels, np.full(count - len(levels), levels[-1])).astype(np.float32)
