"""Powers of two and their sums. A format, of activations and of weights.

Li, Dong, Wang: "Additive powers-of-two quantization", ICLR 2020, eq. 5 with k = 2: a level is a sum of terms, each zero
or one of three powers of two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.checks import number
from onnxq.core.observed import Observed
from onnxq.formats.affine import Affine
from onnxq.formats.base import END_BITS, FORMATS, Format, RangeRule
from onnxq.formats.codebook import CodebookParams, CodebookWeightParams, bounds_of
from onnxq.formats.level_fit import SMALLEST_SPREAD, fitted_levels
from onnxq.formats.threshold_search import histogram_threshold

FloatArray = NDArray[np.float64]
LevelSet = Callable[[int], FloatArray]


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


def even_levels(bits: int) -> FloatArray:
    """2^bits equal steps from 0 to 1.

    >>> even_levels(2).round(3)
    array([0.   , 0.333, 0.667, 1.   ])
    """
    return np.linspace(0, 1, 2**bits)


def levels_of(build: LevelSet, bits: int, signed: bool) -> NDArray[np.float32]:
    """Ascending levels within [-1, 1] (signed) or [0, 1].

    A sign costs a bit: the magnitudes of b signed bits are those of b - 1, 2^b - 1 levels in all; two bits are ternary.
    Powers below 2^-126 (of 8-bit unsigned ``pot``) are zero.

    Args:
        build: ``additive_levels`` or ``power_levels``. bits: 2 to 8.

    Returns:
        float32 [2^bits - 1] or [2^bits].

    >>> levels_of(additive_levels, 3, True)
    array([-1.  , -0.5 , -0.25,  0.  ,  0.25,  0.5 ,  1.  ], dtype=float32)
    """
    magnitudes = np.array([0.0, 1.0]) if signed and bits == 2 else build(bits - signed)
    usable: NDArray[np.float32] = np.where(magnitudes < np.finfo(np.float32).tiny, 0, magnitudes).astype(np.float32)
    return np.concatenate([-usable[:0:-1], usable]) if signed else usable


@FORMATS.register("apot")
@dataclass(frozen=True)
class AdditivePowersOfTwo(Format):
    """Sums of powers of two up to a threshold.

    Attributes:
        threshold: a given one, in standard deviations of a weight, and in the units of an activation; None searches
            for that of the smallest expected error. (Published networks have trained ones.)
    """

    rule: ClassVar[str] = "mse"  # of the first and the last layer
    takes_rule: ClassVar[bool] = False

    threshold: float | None = None

    def problems(self) -> list[str]:
        """Whether the threshold is a positive number that float32 can hold."""
        return [] if self.threshold is None else number("apot.threshold", self.threshold, 1e-30, 1e30)

    def at_ends(self, bits: int | None, own: float) -> tuple[Format, float]:
        """Affine."""
        return Affine(), END_BITS if bits is None else bits

    def levels(self, bits: int, *, signed: bool) -> NDArray[np.float32]:
        """float32 [2^bits - 1] or [2^bits], ascending, the largest 1."""
        return levels_of(additive_levels, bits, signed)

    def fit_activation(self, observed: Observed, bits: float, rule: RangeRule) -> CodebookParams:
        """The levels up to the threshold."""
        levels = self.levels(int(bits), signed=not observed.half)
        if self.threshold is not None:
            return CodebookParams(np.array([self.threshold], np.float32), levels)

        def at(threshold: FloatArray) -> CodebookParams:
            usable = threshold >= np.finfo(np.float32).tiny
            return CodebookParams(np.where(usable, threshold, 1.0).astype(np.float32), levels)

        return at(histogram_threshold(observed, at))

    def fit_weight(self, rows: NDArray[np.float32], bits: float) -> CodebookWeightParams:
        """The levels for each row [C, n], brought to mean 0 and deviation 1 (Li et al. 2020, section 2.3).

        The published system leaves it at that and lets batch norm undo it; here scale and offset do.
        """
        levels = self.levels(int(bits), signed=True)
        values = rows.astype(np.float64)
        mean, spread = values.mean(axis=1), values.std(axis=1, ddof=min(1, values.shape[1] - 1))
        spread = np.where(spread > SMALLEST_SPREAD, spread, 1.0)
        if self.threshold is None:
            threshold, centre = fitted_levels((values - mean[:, None]) / spread[:, None], levels, bounds_of(levels))
        else:
            threshold, centre = np.full(len(rows), self.threshold), np.zeros(len(rows))
        scale, offset = (array.astype(np.float32) for array in (threshold * spread, mean + centre * spread))
        return CodebookWeightParams(levels[None], scale, offset, int(bits))


@FORMATS.register("pot")
@dataclass(frozen=True)
class PowersOfTwo(AdditivePowersOfTwo):
    """Plain powers of two."""

    def levels(self, bits: int, *, signed: bool) -> NDArray[np.float32]:
        """float32 [2^bits - 1] or [2^bits], ascending, the largest 1."""
        return levels_of(power_levels, bits, signed)


@FORMATS.register("even")
@dataclass(frozen=True)
class Even(AdditivePowersOfTwo):
    """Equal steps up to a threshold, signed ones on both sides of zero: the published system's ``power=False``."""

    def levels(self, bits: int, *, signed: bool) -> NDArray[np.float32]:
        """float32 [2^bits - 1] or [2^bits], ascending, the largest 1."""
        return levels_of(even_levels, bits, signed)
