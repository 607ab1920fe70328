"""GPTQ: columns are rounded one by one, and those that follow make up for the error. A part of ``rounding``.

Frantar et al., "GPTQ", ICLR 2023 (arXiv 2210.17323), algorithm 1, in the equivalent form that needs no inverse: with
H = L L^T the error of a row e = w - q is |e L|^2, and its component k, sum over i >= k of e_i L_ik, is made smallest by
rounding column k when all columns behind it are known (Babai's nearest plane).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.rounding.grids import Codes, FloatArray, Grid
from onnxq.rounding.positive_definite import factorize

BLOCK = 64  # columns whose feedback is added at once


def feedback_factor(curvature: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """What ``error_feedback`` needs of H, float64 [g, d, d], positive definite.

    Returns:
        the Cholesky factor L of H in this order of columns, and the order, int64 [g, d]: column of largest diagonal
        last, since the last one is rounded first.

    Raises:
        numpy.linalg.LinAlgError: H is not positive definite.
    """
    order = np.argsort(np.diagonal(curvature, axis1=1, axis2=2), axis=1, kind="stable")
    groups = np.arange(len(order))[:, None, None]
    return factorize(curvature[groups, order[:, :, None], order[:, None, :]]), order.astype(np.int64)


def error_feedback(target: FloatArray, grid: Grid, factor: FloatArray, order: NDArray[np.int64]) -> Codes:
    """Codes for a target, float64 [g, r, d].

    Args:
        grid: of the g * r output channels. factor, order: of ``feedback_factor``.

    Returns:
        int64 [g, r, d].
    """
    groups, rows, width = target.shape
    place = np.broadcast_to(order[:, None, :], target.shape)
    sorted_target = np.take_along_axis(target, place, axis=2)
    error = np.zeros_like(target)
    codes = np.empty(target.shape, np.int64)
    pivots = np.diagonal(factor, axis1=1, axis2=2)
    for stop in range(width, 0, -BLOCK):
        start = max(stop - BLOCK, 0)
        feedback = error[:, :, stop:] @ factor[:, stop:, start:stop]
        for column in range(stop - 1, start - 1, -1):
            inner = slice(column + 1, stop)
            known = feedback[:, :, column - start]
            if column + 1 < stop:
                known = known + (error[:, :, inner] @ factor[:, inner, column, None])[:, :, 0]
            wish = sorted_target[:, :, column] + known / pivots[:, column, None]
            chosen = grid.nearest(wish.reshape(-1))
            codes[:, :, column] = chosen.reshape(groups, rows)
            error[:, :, column] = sorted_target[:, :, column] - grid.levels(chosen).reshape(groups, rows)
    result = np.empty_like(codes)
    np.put_along_axis(result, place, codes, axis=2)
    return result
