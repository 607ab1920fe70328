"""Positive definite matrices: half of the work that general ones make, in place. A part of ``rounding``."""

from __future__ import annotations

import numpy as np

from onnxq.core.parallel import in_parallel
from onnxq.rounding.moments import FloatArray

BLOCK = 256  # columns that are worked on at a time


def factorize(matrix: FloatArray) -> FloatArray:
    """Cholesky's factor L of A = L L^T, lower triangular, in the place of A.

    Column block by column block: each is solved for, and its product taken from what lies behind it.

    Args:
        matrix: A, float64 [g, d, d], symmetric and positive definite; overwritten.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite.
    """
    width = matrix.shape[1]
    for start in range(0, width, BLOCK):
        block, behind = slice(start, start + BLOCK), slice(start + BLOCK, width)
        corner = np.linalg.cholesky(matrix[:, block, block])
        matrix[:, block, block] = corner
        matrix[:, block, behind] = 0
        matrix[:, behind, block] = np.linalg.solve(corner, matrix[:, behind, block].transpose(0, 2, 1)).transpose(
            0, 2, 1
        )

        def take_off(first: int, block: slice = block) -> None:
            columns, rows = slice(first, first + BLOCK), slice(first, width)
            matrix[:, rows, columns] -= matrix[:, rows, block] @ matrix[:, columns, block].transpose(0, 2, 1)

        in_parallel(take_off, range(start + BLOCK, width, BLOCK))
    return matrix


def solve_positive(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """X with X A = B, by Cholesky's factor of A and substitution, block by block.

    Args:
        matrix: A, float64 [g, d, d], symmetric and positive definite; overwritten. right: B, float64 [g, r, d].

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite.
    """
    lower = factorize(matrix)
    columns = right.transpose(0, 2, 1).copy()  # A X^T = B^T
    blocks = [slice(start, start + BLOCK) for start in range(0, matrix.shape[1], BLOCK)]
    for block in blocks:  # L Y = B^T
        columns[:, block] -= lower[:, block, : block.start] @ columns[:, : block.start]
        columns[:, block] = np.linalg.solve(lower[:, block, block], columns[:, block])
    for block in reversed(blocks):  # L^T X^T = Y
        columns[:, block] -= lower[:, block.stop :, block].transpose(0, 2, 1) @ columns[:, block.stop :]
        columns[:, block] = np.linalg.solve(lower[:, block, block].transpose(0, 2, 1), columns[:, block])
    return np.asarray(columns.transpose(0, 2, 1))
