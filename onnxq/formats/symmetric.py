"""The narrow symmetric format: scale * q, -(2^(bits - 1) - 1) <= q <= 2^(bits - 1) - 1. A format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.observed import Observed
from onnxq.formats.affine import AffineParams
from onnxq.formats.base import FORMATS, BitArray, FloatArray, Format, RangeRule
from onnxq.formats.mid_tread import MidTreadParams
from onnxq.formats.threshold_search import histogram_threshold


@FORMATS.register("symmetric")
@dataclass(frozen=True)
class Symmetric(Format):
    """Equal steps around zero; the rule says how far, or the threshold of smallest expected error is searched for."""

    rule: ClassVar[str] = "mse"
    by_threshold: ClassVar[bool] = True
    uses_all_codes: ClassVar[bool] = False

    def fit_activation(self, observed: Observed, bits: float, rule: RangeRule) -> MidTreadParams:
        """Up to the rule's threshold on both sides."""
        top = np.float32(2 ** (int(bits) - 1) - 1)

        def at(reach: FloatArray) -> MidTreadParams:
            scale = np.maximum(reach / top, np.finfo(np.float32).eps).astype(np.float32)
            return MidTreadParams(scale, np.array([-top]), np.array([top]))

        threshold = rule.threshold(observed)
        return at(histogram_threshold(observed, at) if threshold is None else threshold)

    def fit_weight(self, rows: NDArray[np.float32], bits: BitArray) -> AffineParams:
        """Up to the largest magnitude of each row [C, n]."""
        top = np.exp2(np.asarray(bits) - 1.0) - 1
        scale = np.maximum(np.abs(rows).max(axis=1) / top, np.finfo(np.float32).eps).astype(np.float32)
        zero_point = np.broadcast_to(np.asarray(top + 1, np.float32), scale.shape)
        return AffineParams(scale, zero_point, np.atleast_1d(np.asarray(bits, np.int32)))
