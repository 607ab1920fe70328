"""Codebooks: any 2^bits levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError


def kmeans_codebook(
    rows: NDArray[np.float32], bits: int, per_channel: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
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


def _cluster(values: NDArray[np.float32], count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
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
    boundaries = (levels[1:].astype(np.float64) + levels[:-1]) / 2
    codes = np.searchsorted(boundaries, distinct, side="left").astype(np.uint8)[index.reshape(-1)]
    return codes, np.append(levels, np.full(count - len(levels), levels[-1])).astype(np.float32)


def look_up(levels: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """levels[channel, code]: levels float32 [C, K] or [1, K], codes uint8 [C, n]; float32 [C, n]."""
    all_levels = np.broadcast_to(levels, (len(codes), levels.shape[1]))
    return np.take_along_axis(all_levels, codes.astype(np.int64), axis=1)
