"""Level sets of powers of two and of their sums.

Li, Dong, Wang: "Additive powers-of-two quantization", ICLR 2020, eq. 5 with k = 2: a level is a sum of terms, each zero
or one of three powers of two.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@cache
def additive_levels(bits: int) -> FloatArray:
    """The 2^bits non-negative levels of additive powers of two, ascending, the largest 1.

    n = bits // 2 terms of four values, the exponents dealt out in turn: term t has 2^-(t + 1), 2^-(n + t + 1) and
    2^-(2n + t + 1); an odd number of bits adds a term of one value, 2^-(2n + 1), and moves the last exponents by one.
    This gives the published sets for 2 to 6 bits and continues them (8 bits at most).

    >>> additive_levels(3) * 10
    array([ 0.,  1.,  2.,  3.,  4.,  6.,  8., 10.])
    """
    terms = bits // 2
    odd = bits % 2
    choices: list[tuple[float, ...]] = [
        (0.0, 2.0 ** -(t + 1), 2.0 ** -(terms + t + 1), 2.0 ** -(2 * terms + t + 1 + odd)) for t in range(terms)
    ]
    if odd:
        choices.append((0.0, 2.0 ** -(2 * terms + 1)))
    sums = np.array(sorted(sum(parts) for parts in product(*choices)))
    return sums / sums[-1]


@cache
def power_levels(bits: int) -> FloatArray:
    """Zero and the 2^bits - 1 powers 1, 1/2, 1/4, ..., ascending.

    >>> power_levels(2)
    array([0.  , 0.25, 0.5 , 1.  ])
    """
    return np.concatenate([[0.0], 2.0 ** np.arange(2 - 2**bits, 1.0)])


def levels_of(kind: str, bits: int, signed: bool) -> NDArray[np.float32]:
    """Ascending levels within [-1, 1] (signed) or [0, 1].

    A sign costs a bit: the magnitudes of b signed bits are those of b - 1, 2^b - 1 levels in all; two bits are ternary.
    Powers below 2^-126 (of 8-bit unsigned ``pot``) are zero.

    Args:
        kind: 'apot' or 'pot'. bits: 2 to 8.

    Returns:
        float32 [2^bits - 1] or [2^bits].

    >>> levels_of("apot", 3, True)
    array([-1.  , -0.5 , -0.25,  0.  ,  0.25,  0.5 ,  1.  ], dtype=float32)
    """
    build = additive_levels if kind == "apot" else power_levels
    magnitudes = np.array([0.0, 1.0]) if signed and bits == 2 else build(bits - signed)
    usable: NDArray[np.float32] = np.where(magnitudes < np.finfo(np.float32).tiny, 0, magnitudes).astype(np.float32)
    return np.concatenate([-usable[:0:-1], usable]) if signed else usable
