"""Coordinate descent on the error of a layer's output. A part of ``rounding``.

Zhang et al., "COMQ", 2024 (arXiv 2403.07134), on the quadratic of the moments: each code in turn is made the best one
while all others stay. The error never grows, and no code could be better changed alone in the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.rounding.grids import Codes, FloatArray, Grid

BLOCK = 64  # columns whose changes are passed on to the others at once
MOST_SWEEPS = 50


def coordinate_descent(target: FloatArray, codes: Codes, grid: Grid, curvature: FloatArray) -> Codes:
    """Better codes.

    Args:
        target: float64 [g, r, d]. codes: int64 [g, r, d], where to start. grid: of the g * r channels.
        curvature: H, float64 [g, d, d], with a positive diagonal.

    Returns:
        int64 [g, r, d].
    """
    codes = codes.copy()
    rest = np.arange(len(target)) if len(target) > 1 else np.arange(target.shape[1])  # groups, or rows of the only one
    for _ in range(MOST_SWEEPS):
        if len(target) > 1:
            channels = (rest[:, None] * target.shape[1] + np.arange(target.shape[1])).ravel()
            swept = _sweep(target[rest], codes[rest], grid.at(channels), curvature[rest])
            changed = (swept != codes[rest]).any(axis=(1, 2))
            codes[rest] = swept
        else:
            swept = _sweep(target[:, rest], codes[:, rest], grid.at(rest), curvature)
            changed = (swept != codes[:, rest]).any(axis=(0, 2))
            codes[:, rest] = swept
        rest = rest[changed]
        if not len(rest):
            break
    return codes


def _sweep(target: FloatArray, codes: Codes, grid: Grid, curvature: FloatArray) -> Codes:
    """Each column once."""
    groups, rows, width = target.shape
    codes = codes.copy()
    diagonal = np.diagonal(curvature, axis1=1, axis2=2)
    values = grid.levels(codes.reshape(groups * rows, width)).reshape(target.shape)
    for start in range(0, width, BLOCK):
        block = slice(start, min(start + BLOCK, width))
        pull: NDArray[np.float64] = (target - values) @ curvature[:, :, block]
        inner = curvature[:, block, block]
        for column in range(start, block.stop):
            at = column - start
            wish = values[:, :, column] + pull[:, :, at] / diagonal[:, column, None]
            chosen = grid.nearest(wish.reshape(-1))
            step = grid.levels(chosen).reshape(groups, rows) - values[:, :, column]
            if not step.any():
                continue
            codes[:, :, column] = chosen.reshape(groups, rows)
            values[:, :, column] += step
            pull -= step[:, :, None] * inner[:, at, None, :]
    return codes
