"""All that was seen. A clipping rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.clipping.base import ALL, CLIPPINGS, BitArray, Clipping, FloatArray
from onnxq.core.observed import Interval, Observed


@CLIPPINGS.register("minmax")
@dataclass(frozen=True)
class MinMax(Clipping):
    """The range seen."""

    symmetric: ClassVar[bool] = True
    dynamic: ClassVar[bool] = True

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """As ``Clipping.interval``."""
        return observed.limits

    def threshold(self, observed: Observed) -> FloatArray:
        """As ``Clipping.threshold``."""
        return observed.reach

    def multipliers(self, bits: BitArray, half: bool) -> tuple[FloatArray, FloatArray]:
        """As ``Clipping.multipliers``: beyond any range."""
        return np.full(bits.shape, float(ALL)), np.zeros(bits.shape)
