"""Linear systems of positive definite matrices: half of the work that a general solver has. A part of ``rounding``."""

from __future__ import annotations

import numpy as np

from onnxq.rounding.moments import FloatArray

BLOCK = 128  # unknowns that are solved for at a time


def solve_positive(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """X with X A = B, by Cholesky's factor of A and substitution, block by block.

    Args:
        matrix: A, float64 [g, d, d], symmetric and positive definite. right: B, float64 [g, r, d].

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite.
    """
    width = matrix.shape[1]
    lower = np.linalg.cholesky(matrix)
    columns = right.transpose(0, 2, 1).copy()  # A X^T = B^T
    blocks = [slice(start, min(start + BLOCK, width)) for start in range(0, width, BLOCK)]
    for block in blocks:  # L Y = B^T
        columns[:, block] -= lower[:, block, : block.start] @ columns[:, : block.start]
        columns[:, block] = np.linalg.solve(lower[:, block, block], columns[:, block])
    for block in reversed(blocks):  # L^T X^T = Y
        columns[:, block] -= lower[:, block.stop :, block].transpose(0, 2, 1) @ columns[:, block.stop :]
        columns[:, block] = np.linalg.solve(lower[:, block, block].transpose(0, 2, 1), columns[:, block])
    return np.asarray(columns.transpose(0, 2, 1))
