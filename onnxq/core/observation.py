"""What is seen of a tensor in one batch, and the numpy oracle of the operator ``Observe`` that sees it.

A ground type: made by ``observe``, reduced to statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.histogram import BINS, anchor_of, bin_index

SUM_UNIT = np.float32(2**25)
SQUARE_UNIT = np.float32(2**26)


@dataclass(frozen=True)
class Observation:
    """What ``Observe`` says of one tensor; the fields are the operator's outputs."""

    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    sum: NDArray[np.float64]
    sum_squares: NDArray[np.float64]
    histogram: NDArray[np.int32]


def observe(x: NDArray[np.float32]) -> Observation:
    """The oracle of ``Observe`` in numpy, bit for bit.

    Args:
        x: float32 [N, C, ...].
    """
    channels = x.shape[1]
    rows = np.moveaxis(x, 1, 0).reshape(channels, int(np.prod(x.shape)) // channels if channels else 0)
    finite = np.isfinite(rows)
    bad = ~finite.all(axis=1)
    rows = np.where(finite, rows, np.float32(0))
    lowest = rows.min(axis=1, initial=np.inf).astype(np.float32)
    highest = rows.max(axis=1, initial=-np.inf).astype(np.float32)
    anchor = anchor_of(lowest, highest)
    scaled = np.clip(rows / anchor[:, None], np.float32(-1), np.float32(1))
    anchor64 = anchor.astype(np.float64)
    histogram = np.zeros((channels, BINS), np.int32)
    np.add.at(histogram, (np.arange(channels)[:, None], bin_index(rows, anchor[:, None])), 1)
    total = np.rint(scaled * SUM_UNIT).sum(axis=1, dtype=np.float64)
    square_total = np.rint(scaled * scaled * SQUARE_UNIT).sum(axis=1, dtype=np.float64)
    return Observation(
        minimum=np.where(bad, np.float32(np.nan), lowest),
        maximum=np.where(bad, np.float32(np.nan), highest),
        sum=np.where(bad, np.nan, total * anchor64 / np.float64(SUM_UNIT)),
        sum_squares=np.where(bad, np.nan, square_total * (anchor64 * anchor64) / np.float64(SQUARE_UNIT)),
        histogram=histogram,
    )
