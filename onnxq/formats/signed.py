"""Signed codes with the zero point 0, all 2^bits of them, as integer kernels have them. A format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.observed import Observed
from onnxq.formats.affine import AffineParams
from onnxq.formats.base import FORMATS, BitArray, Format, RangeRule


@FORMATS.register("signed")
@dataclass(frozen=True)
class Signed(Format):
    """Codes -2^(bits - 1) .. 2^(bits - 1) - 1 (here: 0 .. 2^bits - 1 around the middle); activations have 8 bits."""

    has_widths: ClassVar[bool] = True

    def fit_activation(self, observed: Observed, bits: BitArray, rule: RangeRule) -> AffineParams:
        """Up to the larger bound of the rule's interval, on both sides.

        Of a tensor that cannot be negative half of the codes are lost: its range is chosen for 7 bits.
        """
        width = 7 if observed.half else 8
        lower, upper = rule.interval(observed, np.full(observed.channels, width, np.int32))
        reach = np.maximum(np.abs(lower), np.abs(upper))
        scale = np.where(reach > 0, np.maximum(reach / 127, np.finfo(np.float32).tiny), 1).astype(np.float32)
        return AffineParams(scale, np.full_like(scale, 128), np.full(len(scale), 8, np.int32))

    def fit_weight(self, rows: NDArray[np.float32], bits: BitArray) -> AffineParams:
        """The finest steps that reach both ends of each row [C, n]."""
        half = np.exp2(np.asarray(bits) - 1.0)
        reach = np.maximum(rows.max(axis=1) / np.maximum(half - 1, 1), -rows.min(axis=1) / half)
        scale = np.maximum(reach, np.finfo(np.float32).eps).astype(np.float32)
        zero_point = np.broadcast_to(np.floor(half).astype(np.float32), scale.shape)  # no bits: zero
        return AffineParams(scale, zero_point, np.atleast_1d(np.asarray(bits, np.int32)))
