"""The mid-tread grid: scale * q, first <= q <= last. Any number of bins, so that bits can be fractions.

Its codes are meant to be coded at variable length: most are zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.grids.uniform import broadcastable

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class MidTreadGrid:
    """A grid for a whole tensor (arrays of one value) or for each of its channels.

    Attributes:
        scale: float32 [C] or [1], positive.
        first, last: float32 [C] or [1], the outermost codes. Integral but for ``Recipe.published``, whose outermost
            levels lie off the grid.
    """

    scale: FloatArray
    first: FloatArray
    last: FloatArray


def fake_quantize(x: FloatArray, grid: MidTreadGrid, axis: int) -> FloatArray:
    """clamp(round_half_even(x / scale), first, last) * scale: the oracle of ``FakeQuantizeMidTread``, float32.

    >>> grid = MidTreadGrid(np.float32([0.5]), np.float32([-1]), np.float32([2]))
    >>> fake_quantize(np.float32([-3, -0.3, 0.2, 0.8, 7]), grid, axis=0)
    array([-0.5, -0.5,  0. ,  1. ,  1. ], dtype=float32)
    """
    scale, first, last = (broadcastable(p, x.ndim, axis) for p in (grid.scale, grid.first, grid.last))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = np.rint(np.asarray(x, np.float32) / scale)
        return np.minimum(np.maximum(codes, first), last) * scale
