"""Quantization parameters: what all number formats have in common.

A ground type: made by ``formats``, kept in plans, carried out by ``rewrite``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.core.operator_call import OperatorCall

Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]


class ActivationParams(Protocol):
    """Of a tensor as a whole, or of each of its channels (axis 1)."""

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The nodes that quantize and dequantize a tensor of this rank."""


class StaticParams(ActivationParams, Protocol):
    """Parameters that are known before a batch comes."""

    def fake_quantize(self, x: Float32, axis: int) -> Float32:
        """What these nodes compute, bit for bit: the oracle of the operator. float32 of any shape."""

    def expected_squared_error(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[(x - q(x))^2] of each channel, float64 [C]; histogram int64 [C, BINS], anchor float64 [C]."""

    def expected_value(self, histogram: Counts, anchor: FloatArray) -> FloatArray:
        """E[q(x)] of each channel, float64 [C]; arguments as above."""


class WeightParams(Protocol):
    """Of a weight as a whole, or of each of its output channels (axis 0)."""

    @property
    def widths(self) -> NDArray[np.int32]:
        """int32 [C] or [1], the width of the codes of each channel."""

    def codes(self, weight: Float32) -> NDArray[Any]:
        """The nearest codes, uint8 (uint16 above 8 bits) of the shape of the weight [C, ...]."""

    def dequantize(self, codes: NDArray[Any]) -> Float32:
        """What codes stand for, float32 of their shape."""

    def corrected(self, gain: FloatArray, offset: FloatArray) -> WeightParams:
        """Parameters by which the same codes stand for gain * w + offset, float64 [C] each."""

    def scaled(self, gain: FloatArray) -> WeightParams:
        """Parameters by which the same codes stand for gain * w, float64 [C]."""

    def dequantizer_calls(self, codes: NDArray[Any]) -> list[OperatorCall]:
        """The nodes that dequantize stored codes; they need no subject."""


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight as codes and what they stand for.

    Attributes:
        codes: uint8 (uint16 for more than 8 bits), the shape of the weight, output channels first.
        params: what they stand for.
    """

    codes: NDArray[Any]
    params: WeightParams

    @property
    def bits(self) -> NDArray[np.int32]:
        """int32 [C] or [1], the width of the codes of each channel."""
        return self.params.widths

    def dequantized(self) -> Float32:
        """What the layer computes with: float32, the shape of the weight."""
        return self.params.dequantize(self.codes)

    def corrected(self, gain: FloatArray, offset: FloatArray) -> QuantizedWeight:
        """The same codes for gain * w + offset, float64 [C] each."""
        return replace(self, params=self.params.corrected(gain, offset))

    def scaled(self, gain: FloatArray) -> QuantizedWeight:
        """The same codes for gain * w, float64 [C]."""
        return replace(self, params=self.params.scaled(gain))

    def dequantizer_calls(self) -> list[OperatorCall]:
        """The nodes that make the weight from its stored codes."""
        return self.params.dequantizer_calls(self.codes)
