"""The affine format: scale * (q - zero_point), q = 0 .. 2^bits - 1. A format, of activations and of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxq.core.observed import Observed
from onnxq.core.operator_call import SUBJECT, OperatorCall
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.core.target import Target
from onnxq.formats.base import FORMATS, BitArray, Format, RangeRule
from onnxq.formats.expected import OnHistograms, Steps
from onnxq.formats.packing import packed_inputs, wide_calls

FloatArray = NDArray[np.float32]
MOST_PACKED = 8  # bits; wider codes are stored as they are


@dataclass(frozen=True)
class AffineParams(OnHistograms):
    """Parameters of a whole tensor (arrays of one value) or of each of its channels.

    Attributes:
        scale: float32 [C] or [1], positive, in the units of the tensor.
        zero_point: float32 [C] or [1]; may lie outside 0 .. 2^bits - 1. Integral for activations; that of a corrected
            weight is not.
        bits: int32 [C] or [1], 0 to 8 (of fixed-point weights to 16).
    """

    scale: FloatArray
    zero_point: FloatArray
    bits: NDArray[np.int32]

    @property
    def lower(self) -> FloatArray:
        """Smallest representable value, float32."""
        return -self.zero_point * self.scale

    @property
    def upper(self) -> FloatArray:
        """Largest representable value, float32."""
        return (np.exp2(self.bits).astype(np.float32) - 1 - self.zero_point) * self.scale

    @property
    def widths(self) -> BitArray:
        """The width of the codes of each channel, int32 [C] or [1]."""
        return self.bits

    def fake_quantize(self, x: FloatArray, axis: int) -> FloatArray:
        """As the function of this name."""
        return fake_quantize(x, self, axis)

    def grid(self) -> Steps:
        """As ``OnHistograms.grid``."""
        first = -self.zero_point.astype(np.float64)
        return Steps(self.scale.astype(np.float64), first, first + np.exp2(self.bits) - 1)

    def codes(self, weight: FloatArray) -> NDArray[Any]:
        """The nearest codes of a weight [C, ...], uint8; uint16 above 8 bits."""
        kind = np.uint8 if self.bits.max(initial=0) <= MOST_PACKED else np.uint16
        return quantize(weight, self, axis=0).astype(kind)

    def dequantize(self, codes: NDArray[Any]) -> FloatArray:
        """What the codes of a weight stand for, float32."""
        return dequantize(codes.astype(np.float32), self, axis=0)

    def corrected(self, gain: NDArray[np.float64], offset: NDArray[np.float64]) -> AffineParams:
        """Parameters by which the same codes stand for gain * w + offset, float64 [C] each.

        The zero point that results is not integral; the codes stay as they are, and packed.
        """
        gain = np.where(self.scale * gain < np.finfo(np.float32).tiny, 1.0, gain)
        scale = (self.scale * gain).astype(np.float32)
        zero_point = (self.zero_point * self.scale * gain - offset) / scale
        return AffineParams(scale, zero_point.astype(np.float32), np.broadcast_to(self.bits, scale.shape).copy())

    def scaled(self, gain: NDArray[np.float64]) -> AffineParams:
        """Parameters by which the same codes stand for gain * w, float64 [C]; the zero point stays as it is."""
        scale = (self.scale * gain).astype(np.float32)
        zero_point = np.broadcast_to(self.zero_point, scale.shape).copy()
        return AffineParams(scale, zero_point, np.broadcast_to(self.bits, scale.shape).copy())

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The node that quantizes and dequantizes an activation of this rank."""
        fields = {name: getattr(self, name) for name in ("scale", "zero_point", "bits")}
        constants = {name: broadcastable(value, rank, CHANNEL_AXIS) for name, value in fields.items()}
        return [OperatorCall("FakeQuantize", {"x": SUBJECT, **constants})]

    def dequantizer_calls(self, codes: NDArray[Any]) -> list[OperatorCall]:
        """The nodes that dequantize the stored codes of a weight; more than 8 bits are stored as uint16."""
        if codes.dtype == np.uint16:
            return wide_calls(codes, self.scale, self.zero_point)
        inputs = packed_inputs(codes, self.bits, {"scale": self.scale, "zero_point": self.zero_point})
        return [OperatorCall("DequantizePacked", inputs, ("dequantized",))]


def affine_params(lower: ArrayLike, upper: ArrayLike, bits: int | NDArray[np.int32]) -> AffineParams:
    """The asymmetric parameters over [lower, upper], in gemmlowp's arithmetic.

    scale = (upper - lower) / (2^bits - 1) and zero_point = round_half_even(-lower / scale), so
    that zero is a multiple of the step; the range that results is shifted by up to half a step.
    (Jacob et al. 2018, eq. 1 to 4; the published ACIQ code adds no nudging and neither do we.)

    A range of no width gets parameters that have its one value on the grid. With bits = 0 the one level is ``lower``.

    Args:
        lower, upper: finite numbers, scalars or [C], lower <= upper.
        bits: 0 to 8, a scalar or int32 [C].

    Raises:
        ValueError: a bound is not finite, lower > upper, or bits lie outside 0 .. 8.

    >>> affine_params(-1.0, 2.0, 2)
    AffineParams(scale=array([1.], dtype=float32), zero_point=array([1.], dtype=float32), bits=array([2], dtype=int32))
    """
    low, high = np.broadcast_arrays(
        np.atleast_1d(np.asarray(lower, np.float64)), np.atleast_1d(np.asarray(upper, np.float64))
    )
    widths = np.broadcast_to(np.asarray(bits, np.int32), low.shape) if np.ndim(bits) else np.full(1, bits, np.int32)
    if not (np.isfinite(low).all() and np.isfinite(high).all()) or (low > high).any():
        raise ValueError("a quantization range must be finite with lower <= upper")
    if (widths < 0).any() or (widths > 8).any():
        raise ValueError("bits must lie between 0 and 8")
    steps = np.exp2(np.broadcast_to(widths, low.shape)) - 1
    smallest = float(np.finfo(np.float32).tiny)
    scale = (high - low) / np.maximum(steps, 1)
    # No width: scale = |value| and levels 0 and value. With bits = 0 the one level is -zero_point * scale.
    no_bits = steps == 0
    flat = (scale < smallest) | no_bits
    scale = np.where(flat, np.where(np.abs(low) < smallest, 1.0, np.abs(low)), scale).astype(np.float32)
    zero_point = np.rint(-low / scale.astype(np.float64))
    zero_point = np.where(flat, np.where(no_bits, -np.sign(low) * (np.abs(low) >= smallest), low < 0), zero_point)
    return AffineParams(scale, zero_point.astype(np.float32) + np.float32(0), widths.copy())


def quantize(x: FloatArray, params: AffineParams, axis: int) -> FloatArray:
    """Integer codes of x, as float32 of the shape of x: clamp(round_half_even(x / scale) + zero_point, 0, 2^bits - 1).

    NaN stays NaN.

    >>> g = affine_params(-1.0, 2.0, 2)
    >>> quantize(np.float32([-9, -0.4, 0.5, 1.5, 9]), g, axis=0)
    array([0., 1., 1., 3., 3.], dtype=float32)
    """
    scale, zero_point, bits = (broadcastable(p, x.ndim, axis) for p in (params.scale, params.zero_point, params.bits))
    top = np.power(np.float32(2), bits).astype(np.float32) - np.float32(1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = np.asarray(np.asarray(x, np.float32) / scale)
        np.rint(codes, out=codes)  # in place: a large Gemm's weights are half a gigabyte
        codes += zero_point
        np.maximum(codes, np.float32(0), out=codes)
        return np.minimum(codes, top, out=codes)


def dequantize(codes: FloatArray, params: AffineParams, axis: int) -> FloatArray:
    """(codes - zero_point) * scale, float32."""
    scale, zero_point = (broadcastable(p, codes.ndim, axis) for p in (params.scale, params.zero_point))
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.asarray(np.asarray(codes, np.float32) - zero_point)
        return np.multiply(values, scale, out=values)


def fake_quantize(x: FloatArray, params: AffineParams, axis: int) -> FloatArray:
    """dequantize(quantize(x)): the oracle of the operator ``FakeQuantize``, float32, bit for bit.

    Args:
        x: float32, any shape.
        params: per tensor, or one value for each index of ``axis``.
    """
    return dequantize(quantize(x, params, axis), params, axis)


@FORMATS.register("affine")
@dataclass(frozen=True)
class Affine(Format):
    """Equal steps over any range; the default.

    Attributes:
        zero_in_range: widen every range to contain zero: an integer type's zero point must be one of its codes.
    """

    has_widths: ClassVar[bool] = True
    can_be_dynamic: ClassVar[bool] = True

    zero_in_range: bool = False

    def on(self, target: Target, *, weights: bool) -> Format:
        """The affine format that a target can hold."""
        held = FORMATS.parse(target.affine_weights if weights else target.affine_activations)
        if not isinstance(held, Affine):
            return held
        return replace(self, zero_in_range=self.zero_in_range or target.zero_in_range)

    def fit_activation(self, observed: Observed, bits: BitArray, rule: RangeRule) -> AffineParams:
        """Over the range that the rule chooses; a channel of no bits is its mean.

        Args:
            bits: int32 [C], 0 to 8, or [1].
        """
        widths = np.broadcast_to(bits, observed.channels)
        lower, upper = rule.interval(observed, widths)
        params = self._over(lower, upper, widths, observed.own.mean)
        return params if len(bits) > 1 else AffineParams(params.scale, params.zero_point, bits)

    def fit_weight(self, rows: FloatArray, bits: BitArray) -> AffineParams:
        """Over the full range of each row [C, n]; a channel of no bits is its mean."""
        lower, upper = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
        widths = bits if len(bits) == len(lower) else int(bits[0])
        return self._over(lower, upper, widths, rows.mean(axis=1, dtype=np.float64))

    def _over(
        self,
        lower: NDArray[np.float64],
        upper: NDArray[np.float64],
        bits: int | BitArray,
        mean: NDArray[np.float64],
    ) -> AffineParams:
        if self.zero_in_range:
            lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
        no_bits = np.broadcast_to(np.equal(bits, 0), lower.shape)
        return affine_params(np.where(no_bits, mean, lower), np.where(no_bits, mean, upper), bits)
