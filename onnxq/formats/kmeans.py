"""K-means codebooks: 2^bits levels of smallest squared error, and equal steps over their range. Formats of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.optional import optional
from onnxq.core.target import Target
from onnxq.formats.affine import Affine, AffineParams
from onnxq.formats.base import END_BITS, FORMATS, BitArray, Format
from onnxq.formats.codebook import CodebookWeightParams

FloatArray = NDArray[np.float32]


@FORMATS.register("kmeans")
@dataclass(frozen=True)
class KMeans(Format):
    """A codebook for each channel, or one for the tensor.

    It pays where it serves many weights: small channels (fewer weights than twice its levels) are affine instead, and
    so are the first and the last layer.
    """

    of_activations: ClassVar[bool] = False

    def at_ends(self, bits: int | None, own: float) -> tuple[Format, float]:
        """Affine."""
        return Affine(), END_BITS if bits is None else bits

    def fit_weight(self, rows: FloatArray, bits: float) -> CodebookWeightParams | AffineParams:
        """Levels of each row [C, n], ascending.

        Raises:
            OnnxqError: scikit-learn, which does the clustering, is not installed.
        """
        if rows.shape[1] < 2 ** (int(bits) + 1):
            return Affine().fit_weight(rows, np.array([int(bits)], np.int32))
        levels = np.stack([_levels(values, 2 ** int(bits)) for values in rows])
        return CodebookWeightParams(levels, np.ones(1, np.float32), np.zeros(1, np.float32), int(bits))


@FORMATS.register("kmeans-range")
@dataclass(frozen=True)
class KMeansRange(Affine):
    """Equal steps from the smallest k-means level to the largest: weights beyond are clipped.

    The published ACIQ system's ``kmeans_quantization.py -t clip`` clips weights so, and leaves them in float.
    """

    of_activations: ClassVar[bool] = False
    can_be_dynamic: ClassVar[bool] = False

    def on(self, target: Target, *, weights: bool) -> Format:
        """The same."""
        return self

    def fit_weight(self, rows: FloatArray, bits: BitArray) -> AffineParams:
        """As ``Affine.fit_weight``, over the range of the levels of each row.

        Raises:
            OnnxqError: scikit-learn, which does the clustering, is not installed.
        """
        counts = 2 ** np.broadcast_to(bits, len(rows)).astype(np.int64)
        ends = [_levels(values, int(count))[[0, -1]] for values, count in zip(rows, counts, strict=True)]
        return super().fit_weight(np.stack(ends), bits)


def _levels(values: FloatArray, count: int) -> FloatArray:
    """Ascending levels of one group; a group of few distinct values keeps them all, the last one repeated."""
    distinct, multiplicity = np.unique(values, return_counts=True)
    levels = distinct
    if len(distinct) > count:
        optional("sklearn", "kmeans", "k-means needs scikit-learn")
        from sklearn.cluster import KMeans as Clustering

        fit = Clustering(count, n_init=1, random_state=0).fit(distinct[:, None], sample_weight=multiplicity)
        levels = np.sort(fit.cluster_centers_[:, 0]).astype(np.float32)
    return np.append(levels, np.full(count - len(levels), levels[-1])).astype(np.float32)
