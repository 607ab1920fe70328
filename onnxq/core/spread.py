"""How far the weights of a channel spread. A ground module, called by ``decide`` and ``formats``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spread_of(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Standard deviation of each row of float32 [C, n], float64 [C], or the size of its one weight."""
    if rows.shape[1] == 1:
        return np.abs(rows[:, 0]).astype(np.float64)
    return rows.std(axis=1, ddof=1, dtype=np.float64)
