"""Fixed point: two's complement numbers with a step that is a power of two. A format, of activations and of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onnxq.core.checks import boolean, number, one_of, whole_number
from onnxq.core.histogram import magnitude_percentile
from onnxq.core.observed import Observed
from onnxq.core.operator_call import SUBJECT, OperatorCall
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.formats.affine import AffineParams
from onnxq.formats.base import FORMATS, Format, RangeRule
from onnxq.formats.expected import OnHistograms, Steps

FloatArray = NDArray[np.float32]
Rounding = Literal["half_even", "half_up", "floor"]
Overflow = Literal["saturate", "wrap"]

ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)  # by the operator's number
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)
MOST_BITS = 16
FLOAT_BITS = 32  # of parameters that are left in float
MAX_FRACTION = 100  # of either sign: steps and their inverses stay normal float32 numbers


@dataclass(frozen=True)
class FixedPointParams(OnHistograms):
    """A format for a whole tensor (one value) or for each of its channels.

    Attributes:
        fraction_bits: int32 [C] or [1], -100 to 100; the step is 2^-fraction_bits.
        total_bits: 2 to 16, the sign included.
        rounding, overflow: what becomes of values between codes and beyond them.
    """

    fraction_bits: NDArray[np.int32]
    total_bits: int
    rounding: Rounding = "half_even"
    overflow: Overflow = "saturate"

    def fake_quantize(self, x: FloatArray, axis: int) -> FloatArray:
        """As the function of this name."""
        return fake_quantize(x, self, axis)

    def grid(self) -> Steps:
        """As ``OnHistograms.grid``; overflow is taken to saturate."""
        scale, half = np.exp2(-self.fraction_bits.astype(np.float64)), np.exp2(self.total_bits - 1.0)
        shift = 0.5 if self.rounding == "floor" else 0.0  # floor(u) = round(u - 1/2)
        return Steps(scale, np.array([-half]), np.array([half - 1]), shift)

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The node that quantizes and dequantizes an activation of this rank."""
        fraction_bits = broadcastable(self.fraction_bits, rank, CHANNEL_AXIS)
        return [
            OperatorCall(
                "FakeQuantizeFixedPoint",
                {"x": SUBJECT, "fraction_bits": fraction_bits},
                attributes={
                    "total_bits": self.total_bits,
                    "rounding": ROUNDINGS.index(self.rounding),
                    "overflow": OVERFLOWS.index(self.overflow),
                },
            )
        ]


def integer_bits(reach: NDArray[Any]) -> NDArray[np.int32]:
    """The integer bits (sign not counted) that numbers up to ``reach`` in size need: ceil(log2(reach)).

    The largest code lies a step below 2^bits: a reach of exactly a power of two loses that step.

    Args:
        reach: non-negative, any shape.

    >>> integer_bits(np.array([0.1, 0.25, 0.3, 1, 3.9])).tolist()
    [-3, -2, -1, 0, 2]
    """
    return np.ceil(np.log2(np.maximum(np.asarray(reach, np.float64), 2.0**-80))).astype(np.int32)


def published_integer_bits(reach: NDArray[Any]) -> NDArray[np.int32]:
    """The same as published, ceil(log2(reach + 1e-12)), which gives most exact powers of two a bit more.

    >>> published_integer_bits(np.array([0.1, 0.25, 0.3, 1, 3.9])).tolist()
    [-3, -1, -1, 1, 2]
    """
    return np.ceil(np.log2(np.asarray(reach, np.float64) + 1e-12)).astype(np.int32)


def params_from_reach(
    reach: NDArray[Any],
    total_bits: int,
    rounding: Rounding = "half_even",
    overflow: Overflow = "saturate",
    bits_for: Callable[[NDArray[Any]], NDArray[np.int32]] = integer_bits,
) -> FixedPointParams:
    """The format whose integer bits hold ``reach``, float [C] or [1]: what is left of ``total_bits`` is fraction.

    Where values wrap, there is one integer bit more if ``reach`` would be rounded to a code too large.
    """
    reach = np.atleast_1d(reach).astype(np.float64)
    fraction = total_bits - 1 - bits_for(reach)
    if overflow == "wrap":
        fraction -= np.floor(np.ldexp(reach, fraction) + 0.5) > 2 ** (total_bits - 1) - 1
    return FixedPointParams(np.clip(fraction, -MAX_FRACTION, MAX_FRACTION), total_bits, rounding, overflow)


def codes_of(x: FloatArray, params: FixedPointParams, axis: int) -> FloatArray:
    """Integer codes of x, float32 of its shape, -2^(total_bits - 1) .. 2^(total_bits - 1) - 1; NaN stays NaN.

    Infinite values saturate whatever ``overflow`` says.
    """
    fraction_bits = broadcastable(params.fraction_bits, x.ndim, axis)
    with np.errstate(over="ignore", invalid="ignore"):
        code = _rounded(np.asarray(x, np.float32) * np.ldexp(np.float32(1), fraction_bits), params.rounding)
        half = np.float32(2.0 ** (params.total_bits - 1))
        saturated = np.minimum(np.maximum(code, -half), half - 1)
        if params.overflow == "saturate":
            return saturated
        turns = code / (2 * half)
        rest = (turns - np.floor(turns)) * (2 * half)
        wrapped = np.where(rest >= half, rest - 2 * half, rest)
    return np.where(np.isinf(code), saturated, wrapped).astype(np.float32)


def _rounded(x: FloatArray, rounding: Rounding) -> FloatArray:
    if rounding == "half_even":
        return np.rint(x)
    below = np.floor(x)
    return below + (x - below >= 0.5).astype(np.float32) if rounding == "half_up" else below


def fake_quantize(x: FloatArray, params: FixedPointParams, axis: int) -> FloatArray:
    """code * 2^-fraction_bits: the oracle of ``FakeQuantizeFixedPoint``, float32.

    >>> fake_quantize(np.float32([-9, 0.5, 0.6, 3]), FixedPointParams(np.int32([1]), 4), axis=0)
    array([-4. ,  0.5,  0.5,  3. ], dtype=float32)
    """
    step = np.ldexp(np.float32(1), -broadcastable(params.fraction_bits, x.ndim, axis))
    return codes_of(x, params, axis) * step


@FORMATS.register("fixed-point")
@dataclass(frozen=True)
class FixedPoint(Format):
    """Two's complement of 2 to 16 bits; the first and the last layer are like the others unless asked otherwise.

    Attributes:
        overflow_rate: share of values that integer bits need not hold.
        rounding, overflow: of activations; parameters are rounded to nearest and saturate.
        bit_true: convolutions round every product and sum.
        batch_norm_bits: of the parameters of batch norm that is not folded, 2 to 16, or 32 for float; None: as weights.
    """

    most_bits: ClassVar[int] = MOST_BITS
    takes_rule: ClassVar[bool] = False
    holds_correction: ClassVar[bool] = False
    holds_scale: ClassVar[bool] = False
    rounds_parameters: ClassVar[bool] = True

    overflow_rate: float = 0.0
    rounding: Rounding = "half_even"
    overflow: Overflow = "saturate"
    bit_true: bool = False
    batch_norm_bits: int | None = None

    @property
    def tells_mean(self) -> bool:
        """Unless values wrap."""
        return self.overflow == "saturate"

    def problems(self) -> list[str]:
        """Whether the parameters are what they should be."""
        rate = number("fixed-point.overflow_rate", self.overflow_rate, 0)
        if not rate and self.overflow_rate >= 1:
            rate = ["`fixed-point.overflow_rate` must be below 1"]
        norm = self.batch_norm_bits
        return [
            *rate,
            *one_of("fixed-point.rounding", self.rounding, ROUNDINGS),
            *one_of("fixed-point.overflow", self.overflow, OVERFLOWS),
            *boolean("fixed-point.bit_true", self.bit_true),
            *([] if norm in (None, FLOAT_BITS) else whole_number("fixed-point.batch_norm_bits", norm, 2, MOST_BITS)),
        ]

    def at_ends(self, bits: int | None, own: float) -> tuple[Format, float]:
        """The same bits, unless others are asked for."""
        return self, own if bits is None else bits

    def published(self) -> Format:
        """The published arithmetic."""
        names = ("overflow_rate", "rounding", "overflow", "bit_true", "batch_norm_bits")
        fields = {name: getattr(self, name) for name in names}
        return FORMATS.parse({"published-fixed-point": fields})

    def fit_activation(self, observed: Observed, bits: float, rule: RangeRule) -> FixedPointParams:
        """The format whose integer bits hold all but the overflow rate of the magnitudes seen."""
        kept = 100 * (1 - self.overflow_rate)
        reach = observed.reach
        if kept < 100:
            reach = magnitude_percentile(observed.histogram, observed.anchor, reach, kept)
        return params_from_reach(reach, int(bits), self.rounding, self.overflow, self._integer_bits)

    def fit_weight(self, rows: FloatArray, bits: float) -> AffineParams:
        """The format of each row [C, n], with 2^(bits - 1) added to the codes, so that they are unsigned."""
        params = self._of_parameter(rows, int(bits))
        step = np.ldexp(np.float32(1), -params.fraction_bits).astype(np.float32)
        half = np.full_like(step, 2.0 ** (int(bits) - 1))
        return AffineParams(step, half, np.full(1, int(bits), np.int32))

    def round_parameter(self, values: FloatArray, bits: int) -> FloatArray:
        """Each value of a vector in a format of its own, or, of a matrix [1, n], all in one."""
        rows = values.reshape(len(values), -1)
        return fake_quantize(rows, self._of_parameter(rows, bits), axis=0).reshape(values.shape)

    def parameter_bits(self, bits: float) -> float:
        """As ``Format.parameter_bits``."""
        return bits if self.batch_norm_bits is None else self.batch_norm_bits

    def _of_parameter(self, rows: FloatArray, bits: int) -> FixedPointParams:
        magnitudes = np.abs(rows)
        index = int(self.overflow_rate * magnitudes.shape[1])
        reach = -np.partition(-magnitudes, index, axis=1)[:, index]
        return params_from_reach(reach, bits, bits_for=self._integer_bits)

    def _integer_bits(self, reach: NDArray[Any]) -> NDArray[np.int32]:
        return integer_bits(reach)


@FORMATS.register("published-fixed-point")
@dataclass(frozen=True)
class PublishedFixedPoint(FixedPoint):
    """``fixed-point`` as published."""

    def published(self) -> Format:
        """Itself."""
        return self

    def _integer_bits(self, reach: NDArray[Any]) -> NDArray[np.int32]:
        return published_integer_bits(reach)
