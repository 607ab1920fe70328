"""Coordinate descent on the error of a layer's output. A part of ``rounding``.

Zhang et al., "COMQ", 2024 (arXiv 2403.07134), on the quadratic of the moments: each code in turn is made the best one
while all others stay, but for columns where no code wishes for a change. The error never grows, and no code could be
better changed alone in the end.
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
    shape, flat = target.shape, (-1, target.shape[2])
    codes = codes.copy()
    diagonal = np.diagonal(curvature, axis1=1, axis2=2)[:, None, :]
    values = grid.levels(codes.reshape(flat)).reshape(shape)
    pull = (target - values) @ curvature
    for _ in range(MOST_SWEEPS):
        wishes = grid.levels(grid.nearest((values + pull / diagonal).reshape(flat))).reshape(shape)
        wanting = np.flatnonzero((wishes != values).any(axis=(0, 1)))  # levels: several codes can stand for one
        if not len(wanting):
            break
        for start in range(0, len(wanting), BLOCK):
            columns = wanting[start : start + BLOCK]
            step = _step(codes, values, pull, grid, curvature, columns)
            groups, rows = (np.flatnonzero(step.any(axis=axes)) for axes in ((1, 2), (0, 2)))
            changed = np.ix_(groups, rows)
            pull[changed] -= step[changed] @ curvature[np.ix_(groups, columns)]
    return codes


def _step(
    codes: Codes,
    values: FloatArray,
    pull: FloatArray,
    grid: Grid,
    curvature: FloatArray,
    columns: NDArray[np.int64],
) -> FloatArray:
    """Make the codes of these columns the best ones, one column after the other; returns how their values changed."""
    groups, rows, _ = codes.shape
    step = np.zeros((groups, rows, len(columns)))
    own = pull[:, :, columns]
    inner = curvature[:, columns[:, None], columns]
    for at, column in enumerate(columns):
        wish = values[:, :, column] + own[:, :, at] / inner[:, at, None, at]
        chosen = grid.nearest(wish.reshape(-1))
        move = grid.levels(chosen).reshape(groups, rows) - values[:, :, column]
        if not move.any():
            continue
        codes[:, :, column] = chosen.reshape(groups, rows)
        values[:, :, column] += move
        step[:, :, at] = move
        own -= move[:, :, None] * inner[:, at, None, :]
    return step
