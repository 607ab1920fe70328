"""The best of all patterns of rounding up and down, for layers of few inputs. A part of ``rounding``.

Depthwise convolutions of 3 x 3 have 512 patterns a channel: all are tried.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from onnxq.rounding.grids import Codes, FloatArray, Grid

MOST_INPUTS = 12  # 4,096 patterns
AT_ONCE = 2**22  # errors that are held at a time


@cache
def _patterns(width: int) -> tuple[FloatArray, FloatArray]:
    """All patterns [2^d, d], and the products of each pair of their entries [2^d, d * d]."""
    ups = ((np.arange(2**width)[:, None] >> np.arange(width)) & 1).astype(np.float64)
    return ups, (ups[:, :, None] * ups[:, None, :]).reshape(len(ups), -1)


def best_pattern(target: FloatArray, grid: Grid, curvature: FloatArray) -> tuple[Codes, FloatArray]:
    """Codes of smallest error among those that enclose each value of the target.

    Args:
        target: float64 [g, r, d], d at most 12. grid: of the g * r channels. curvature: H, float64 [g, d, d].

    Returns:
        codes int64 [g, r, d], and their error e H e^T, float64 [g, r].
    """
    groups, rows, width = target.shape
    flat = target.reshape(groups * rows, width)
    low = grid.below(flat)
    ups, pairs = _patterns(width)
    base, span = flat - grid.levels(low), grid.span(low)
    curved = np.repeat(curvature, rows, axis=0)
    pulled = np.einsum("cd,cde->ce", base, curved)
    constant = (pulled * base).sum(axis=1)
    codes, errors = np.empty(flat.shape, np.int64), np.empty(len(flat))
    step = max(AT_ONCE // len(ups), 1)
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        quadratic = (span[part, :, None] * span[part, None, :] * curved[part]).reshape(-1, width * width)
        loss = pairs @ quadratic.T - 2 * ups @ (pulled[part] * span[part]).T
        best = loss.argmin(axis=0)
        errors[part] = loss[best, np.arange(len(best))] + constant[part]
        codes[part] = low[part] + ups[best].astype(np.int64) * (span[part] > 0)
    return codes.reshape(target.shape), errors.reshape(groups, rows)
