"""What is restored in each channel of quantized weights. A part of ``recipe``, called by ``decide``.

Banner, Nahshan, Soudry, NeurIPS 2019, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.registry import Registry

FloatArray = NDArray[np.float64]
Rows = NDArray[np.float32]
SMALLEST_SPREAD = 1e-30  # of a channel whose standard deviation means anything in float32


@dataclass(frozen=True)
class Correction:
    """Moves the values of a quantized weight, without changing its codes."""

    moves: ClassVar[bool] = True

    def gain(self, rows: Rows, quantized: Rows) -> FloatArray:
        """The factor of each channel, float64 [C].

        Args:
            rows, quantized: float32 [C, n], the weight and what its codes stand for.
        """
        return np.ones(len(rows))

    def gain_and_offset(self, rows: Rows, quantized: Rows) -> tuple[FloatArray, FloatArray]:
        """(gain, offset), float64 [C] each: quantized * gain + offset has the mean of the weights."""
        mean, quantized_mean = (values.mean(axis=1, dtype=np.float64) for values in (rows, quantized))
        gain = self.gain(rows, quantized)
        return gain, mean - gain * quantized_mean


CORRECTIONS: Registry[Correction] = Registry("weight correction", "onnxq.recipe.corrections")


@CORRECTIONS.register("none")
@dataclass(frozen=True)
class NoCorrection(Correction):
    """Weights stay on their grid."""

    moves: ClassVar[bool] = False


@CORRECTIONS.register("mean")
@dataclass(frozen=True)
class Mean(Correction):
    """The mean of each channel."""


@CORRECTIONS.register("mean-variance")
@dataclass(frozen=True)
class MeanVariance(Correction):
    """Mean and standard deviation: the published code's order, spread about the quantized mean first, then the mean.

    (Equations 12 and 13 of the paper scale the mean as well.)
    """

    def gain(self, rows: Rows, quantized: Rows) -> FloatArray:
        """As ``Correction.gain``; 1 where there is no spread."""
        if rows.shape[1] <= 1:
            return np.ones(len(rows))
        spread, quantized_spread = (values.std(axis=1, ddof=1, dtype=np.float64) for values in (rows, quantized))
        usable = (spread > SMALLEST_SPREAD) & (quantized_spread > SMALLEST_SPREAD)
        return np.where(usable, spread / np.maximum(quantized_spread, SMALLEST_SPREAD), 1.0)
