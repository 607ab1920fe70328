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
        pairs = {name: of_one_size(row, other.rows[name]) for name, row in self.rows.items()}
        return BatchAverages(total, {name: one * shares[0] + two * shares[1] for name, (one, two) in pairs.items()})

    def tensor(self, name: str, *, per_channel: bool) -> TensorAverages:
        """Of a tensor."""
        return TensorAverages(*(row[:-1] if per_channel else row[-1:] for row in self.rows[name]))


def of_one_size(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values of channels, that of the whole tensor last: where they differ in number, both as one channel.

    A tensor whose axis 1 differs in size has a sequence there.

    Args:
        first, second: float64 [..., C + 1].
    """
    if first.shape == second.shape:
        return first, second
    one, two = (np.repeat(values[..., -1:], 2, axis=-1) for values in (first, second))
    return one, two


def _rows(seen: TensorStatistics) -> FloatArray:
    whole = seen.whole()
    return np.array([[*getattr(seen, field), *getattr(whole, field)] for field in FIELDS], np.float64)
