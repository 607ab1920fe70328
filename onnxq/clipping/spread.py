"""Around the mean, at a multiple of the spread: ACIQ for Laplace and for Gauss, and k standard deviations.

Clipping rules. Banner, Nahshan, Soudry: "Post training 4-bit quantization of convolutional networks for rapid
deployment", NeurIPS 2019, section 3. With all bins on one side the optimum is that of one more bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping, FloatArray
from onnxq.clipping.interval import clip_interval
from onnxq.core.aciq import gauss_multiplier, laplace_multiplier
from onnxq.core.checks import number
from onnxq.core.observed import Interval, Observed

WIDTHS = 9  # 0 .. 8 bits


@dataclass(frozen=True)
class BySpread(Clipping):
    """alpha = multiplier * (b or sigma), never beyond the range seen."""

    dynamic: ClassVar[bool] = True
    by_b: ClassVar[bool] = False

    def multiplier(self, bits: BitArray, half: bool) -> FloatArray:
        """alpha / b or alpha / sigma for each width, float64 of the shape of ``bits``."""
        raise NotImplementedError

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """As ``Clipping.interval``."""
        lower, upper = self.unlimited(observed, bits)
        minimum, maximum = observed.limits
        return np.clip(lower, minimum, maximum), np.clip(upper, minimum, maximum)

    def unlimited(self, observed: Observed, bits: BitArray) -> Interval:
        """The same, whatever range was seen."""
        mean, b, std = observed.moments()
        alpha = self.multiplier(bits, observed.half) * (b if self.by_b else std)
        return clip_interval(alpha, mean, observed.smallest, observed.half)

    def multipliers(self, bits: BitArray, half: bool) -> tuple[FloatArray, FloatArray]:
        """As ``Clipping.multipliers``."""
        multiplier, nothing = self.multiplier(bits, half), np.zeros(bits.shape)
        return (multiplier, nothing) if self.by_b else (nothing, multiplier)


@CLIPPINGS.register("aciq-laplace")
@dataclass(frozen=True)
class AciqLaplace(BySpread):
    """The optimum for a Laplace density."""

    by_b: ClassVar[bool] = True

    def multiplier(self, bits: BitArray, half: bool) -> FloatArray:
        """alpha / b (eq. 6), float64 of the shape of ``bits``."""
        return np.array([laplace_multiplier(float(width) + half) for width in range(WIDTHS)])[bits]

    def published(self, bits: float) -> Clipping:
        """With a table of multipliers."""
        return CLIPPINGS.parse("published-aciq-laplace")


@CLIPPINGS.register("aciq-gauss")
@dataclass(frozen=True)
class AciqGauss(BySpread):
    """The optimum for a normal density."""

    def multiplier(self, bits: BitArray, half: bool) -> FloatArray:
        """alpha / sigma, float64 of the shape of ``bits``."""
        return np.array([gauss_multiplier(float(width) + half) for width in range(WIDTHS)])[bits]

    def published(self, bits: float) -> Clipping:
        """With a table of multipliers."""
        return CLIPPINGS.parse({"published-aciq-gauss": {"bits": int(bits)}})


@CLIPPINGS.register("std")
@dataclass(frozen=True)
class Std(BySpread):
    """``k`` standard deviations."""

    k: float = 2.0

    def problems(self) -> list[str]:
        """Whether k is positive."""
        return number("std.k", self.k) or ([] if self.k > 0 else [f"`std.k` must be positive, not {self.k:g}"])

    def multiplier(self, bits: BitArray, half: bool) -> FloatArray:
        """k, float64 of the shape of ``bits``."""
        return np.full(bits.shape, float(self.k))

    def published(self, bits: float) -> Clipping:
        """Beyond what was seen, too."""
        return CLIPPINGS.parse({"published-std": {"k": self.k}})
