"""Activations quantized by another format, with what is above zero moved. Parameters only: a refinement makes them.

The published ACIQ system corrects outputs so: what quantization takes from a channel's sum is added to its values that
are not zero (Banner, Nahshan, Soudry, NeurIPS 2019, released code, by each batch's float values; here by calibration).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxq.core.operator_call import Made, OperatorCall
from onnxq.core.qparams import StaticParams
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable

Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ShiftedParams:
    """y + shift where y > 0, y being what ``inner`` gives.

    Attributes:
        inner: the quantizer. shift: float32 [C], or [1].
    """

    inner: StaticParams
    shift: Float32

    def fake_quantize(self, x: Float32, axis: int) -> Float32:
        """As ``StaticParams.fake_quantize``: y + shift * sign(max(y, 0)), float32."""
        y = self.inner.fake_quantize(x, axis)
        return y + broadcastable(self.shift, x.ndim, axis) * np.sign(np.maximum(y, np.float32(0)))

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The quantizer, and standard operators behind it."""
        *before, last = self.inner.quantizer_calls(rank)
        shift = broadcastable(self.shift, rank, CHANNEL_AXIS)
        return [
            *before,
            replace(last, outputs=("rounded",)),
            OperatorCall("Relu", {"x": Made("rounded")}, ("positive",), domain=""),
            OperatorCall("Sign", {"x": Made("positive")}, ("is_positive",), domain=""),
            OperatorCall("Mul", {"x": Made("is_positive"), "shift": shift}, ("moved",), domain=""),
            OperatorCall("Add", {"x": Made("rounded"), "y": Made("moved")}, ("quantized",), domain=""),
        ]
