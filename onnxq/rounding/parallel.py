"""Linear algebra on all cores whose results do not depend on how many there are. A part of ``rounding``.

What BLAS computes differs in the last bits with its number of threads. Here each call of it has one, and work is cut
into the same pieces on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from onnxq.core.parallel import in_parallel

COLUMNS = 256  # of a product that one task computes


def one_thread_a_call() -> Any:
    """A context in which a call of BLAS has one thread."""
    return threadpool_limits(1, user_api="blas")


def product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """left @ right of [g, n, k] and [g, k, m]."""
    result = np.empty((*left.shape[:2], right.shape[2]), np.result_type(left, right))

    def columns(start: int) -> None:
        part = slice(start, start + COLUMNS)
        np.matmul(left, right[:, :, part], out=result[:, :, part])

    in_parallel(columns, range(0, right.shape[2], COLUMNS))
    return result
