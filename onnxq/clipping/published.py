"""ACIQ and k standard deviations with the published arithmetic. Clipping rules, for comparison.

What differs: multipliers are rounded to a table, and ranges may exceed what was seen. Banner, Nahshan, Soudry, NeurIPS
2019, and its released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxq.clipping.aciq import Aciq
from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping, FloatArray
from onnxq.clipping.spread import AciqGauss, AciqLaplace, BySpread, Std
from onnxq.core.observed import Interval, Observed

# alpha / b by bits 0 .. 8, with all bins on both sides and on one
LAPLACE = (1.05, 1.86, 2.83, 3.89, 5.03, 6.2, 7.41, 8.64, 9.89)
LAPLACE_HALF = (1.86, 2.83, 3.89, 5.02, 6.2, 7.41, 8.64, 9.89, 11.16)
# alpha / sigma by bits; there is none for 0 bits
GAUSS = (1.24, 1.24, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92)
GAUSS_HALF = (1.71, 1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92, 4.2)


class _Unlimited(BySpread):
    """A rule by spread whose ranges may reach beyond what was seen."""

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        return self.unlimited(observed, bits)

    def published(self, bits: float) -> Clipping:
        return self


@CLIPPINGS.register("published-aciq-laplace")
@dataclass(frozen=True)
class PublishedAciqLaplace(_Unlimited, AciqLaplace):
    """``aciq-laplace`` as published."""

    def multiplier(self, bits: BitArray, half: bool) -> FloatArray:
        """From the table."""
        return np.array(LAPLACE_HALF if half else LAPLACE)[bits]


@CLIPPINGS.register("published-aciq-gauss")
@dataclass(frozen=True)
class PublishedAciqGauss(_Unlimited, AciqGauss):
    """``aciq-gauss`` as published: where channels have bits of their own, only Laplace follows them.

    Attributes:
        bits: the mean width, whose multiplier all channels of such a tensor get.
    """

    bits: int = 4

    def multiplier(self, bits: BitArray, half: bool) -> FloatArray:
        """From the table."""
        own = np.full(bits.shape, self.bits, np.int32) if len(np.unique(bits)) > 1 else bits
        return np.array(GAUSS_HALF if half else GAUSS)[own]


@CLIPPINGS.register("published-std")
@dataclass(frozen=True)
class PublishedStd(_Unlimited, Std):
    """``std`` as published."""


@CLIPPINGS.register("published-aciq")
@dataclass(frozen=True)
class PublishedAciq(Aciq):
    """The best of the published rules for Laplace and Gauss, and of all that was seen.

    Attributes:
        bits: as ``PublishedAciqGauss`` has it.
    """

    bits: int = 4

    def priors(self) -> tuple[Clipping, ...]:
        """The rules to choose from."""
        return PublishedAciqLaplace(), PublishedAciqGauss(self.bits)

    def published(self, bits: float) -> Clipping:
        """Itself."""
        return self
