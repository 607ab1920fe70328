"""Signed 8-bit codes with the zero point 0, as TensorRT has them. A format, of activations only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.core.observed import Observed
from onnxq.formats.affine import AffineParams
from onnxq.formats.base import FORMATS, BitArray, Format, RangeRule


@FORMATS.register("signed")
@dataclass(frozen=True)
class Signed(Format):
    """Codes -128 .. 127 (here: 0 .. 255 around 128)."""

    of_weights: ClassVar[bool] = False

    def fit_activation(self, observed: Observed, bits: BitArray, rule: RangeRule) -> AffineParams:
        """Up to the larger bound of the rule's interval, on both sides.

        Of a tensor that cannot be negative half of the codes are lost: its range is chosen for 7 bits.
        """
        width = 7 if observed.half else 8
        lower, upper = rule.interval(observed, np.full(observed.channels, width, np.int32))
        reach = np.maximum(np.abs(lower), np.abs(upper))
        scale = np.where(reach > 0, np.maximum(reach / 127, np.finfo(np.float32).tiny), 1).astype(np.float32)
        return AffineParams(scale, np.full_like(scale, 128), np.full(len(scale), 8, np.int32))
