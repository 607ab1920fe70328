"""From a clipping threshold to an interval. A part of ``clipping``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def clip_interval(
    alpha: FloatArray, mean: FloatArray, minimum: FloatArray, half_range: bool
) -> tuple[FloatArray, FloatArray]:
    """The interval that a clipping threshold gives, as the published ACIQ system places it.

    Full range: 2 * alpha wide, around the mean but not starting below the minimum. Half range (the
    tensor is behind a ReLU; the statistics are those before it): [0, max(mean, 0) + alpha].

    Args:
        alpha, mean, minimum: float64, all [C] or all [1], in the units of the tensor.

    Returns:
        (lower, upper), float64 of the same shape.
    """
    if half_range:
        return np.zeros_like(alpha), np.maximum(mean, 0) + alpha
    lower = np.maximum(minimum, mean - alpha)
    return lower, lower + 2 * alpha
