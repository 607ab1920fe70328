"""What batches show of tensors, averaged over batches, as the published ACIQ system does. A ground type.

Made by ``observe`` where it is asked for, kept in ``Statistics``, read by ``decide``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.tensor_statistics import TensorStatistics

FloatArray = NDArray[np.float64]
FIELDS = ("minimum", "maximum", "mean", "b", "std")


@dataclass(frozen=True)
class TensorAverages:
    """Of one tensor, float64 [C] each, or [1] of the tensor as a whole; see ``TensorStatistics``."""

    minimum: FloatArray
    maximum: FloatArray
    mean: FloatArray
    b: FloatArray
    std: FloatArray


@dataclass(frozen=True)
class BatchAverages:
    """Of all tensors.

    Attributes:
        batches: how many were averaged over, each counting the same.
        rows: by name, float64 [5, C + 1]: a row for each of ``FIELDS``, the tensor as a whole last.
    """

    batches: int
    rows: Mapping[str, FloatArray]

    @staticmethod
    def of(tensors: Mapping[str, TensorStatistics]) -> BatchAverages:
        """Of one batch."""
        return BatchAverages(1, {name: _rows(seen) for name, seen in tensors.items()})

    def merge(self, other: BatchAverages) -> BatchAverages:
        """Of both sets of batches together."""
        total = self.batches + other.batches
        shares = self.batches / total, other.batches / total
        return BatchAverages(
            total, {name: row * shares[0] + other.rows[name] * shares[1] for name, row in self.rows.items()}
        )

    def tensor(self, name: str, *, per_channel: bool) -> TensorAverages:
        """Of a tensor."""
        return TensorAverages(*(row[:-1] if per_channel else row[-1:] for row in self.rows[name]))


def _rows(seen: TensorStatistics) -> FloatArray:
    whole = seen.whole()
    return np.array([[*getattr(seen, field), *getattr(whole, field)] for field in FIELDS], np.float64)
