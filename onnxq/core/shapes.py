"""Shapes of parameters. A ground module, used by all formats."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

CHANNEL_AXIS = 1  # of activations; that of weights is 0


def broadcastable(parameter: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    """Give [C] or [1] values the shape that broadcasts along ``axis`` of a tensor of ``rank`` dimensions."""
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if dimension == axis else 1 for dimension in range(rank)])
