"""FakeQuantizeFixedPoint(x, fraction_bits): quantize-dequantize on two's complement numbers of a power-of-two step.

    x              T [any shape], T = float32 or float16
    fraction_bits  int32, -100 to 100, a scalar or one value a channel in a shape that broadcasts against x
    y              T, the shape of x

    total_bits     int attribute, 2 to 16, the sign included
    rounding       int attribute: 0 half to even, 1 half up, 2 down (floor)
    overflow       int attribute: 0 saturate, 1 wrap

y = code * 2^-fraction_bits, code = x * 2^fraction_bits, rounded, and put into -2^(total_bits - 1) ..
2^(total_bits - 1) - 1 by clamping or modulo 2^total_bits; in float32, rounded to T once at the end. NaN gives NaN;
+-Inf, and what becomes infinite by the multiplication, saturates in both cases.
The numpy reference is ``onnxq.formats.fixed_point.fake_quantize``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto

from onnxq.operators import parse_function
from onnxq.operators.grid import Grid

NAME = "FakeQuantizeFixedPoint"

BODY = """
FakeQuantizeFixedPoint <total_bits, rounding, overflow> (x, fraction_bits) => (y)
{
    one = Constant <value = float {1.0}> ()
    two = Constant <value = float {2.0}> ()
    a_half = Constant <value = float {0.5}> ()
    inverse_step = Pow (two, fraction_bits)
    step = Div (one, inverse_step)
    total = Constant <value_int: int = @total_bits> ()
    count = Pow (two, total)
    half = Mul (count, a_half)
    lowest = Neg (half)
    highest = Sub (half, one)

    x32 = Cast <to: int = 1> (x)
    scaled = Mul (x32, inverse_step)
    wanted = Constant <value_int: int = @rounding> ()
    half_even = Constant <value = int64 {0}> ()
    half_up = Constant <value = int64 {1}> ()
    is_even = Equal (wanted, half_even)
    is_up = Equal (wanted, half_up)
    even = Round (scaled)
    below = Floor (scaled)
    rest = Sub (scaled, below)
    is_beyond = GreaterOrEqual (rest, a_half)
    goes_up = And (is_up, is_beyond)
    increment = Cast <to: int = 1> (goes_up)
    up = Add (below, increment)
    code = Where (is_even, even, up)

    not_below = Max (code, lowest)
    saturated = Min (not_below, highest)
    handling = Constant <value_int: int = @overflow> ()
    wraps = Cast <to: int = 9> (handling)
    turns = Div (code, count)
    whole = Floor (turns)
    part = Sub (turns, whole)
    place = Mul (part, count)
    is_negative = GreaterOrEqual (place, half)
    lower = Sub (place, count)
    wrapped = Where (is_negative, lower, place)
    is_infinite = IsInf (code)
    is_finite = Not (is_infinite)
    is_wrapped = And (wraps, is_finite)
    final = Where (is_wrapped, wrapped, saturated)
    y32 = Mul (final, step)
    y = CastLike (y32, x)
}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)


def codes(values: NDArray[Any], parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> NDArray[Any]:
    """The codes that quantized values stand for; parameters and attributes are those of the node."""
    return np.rint(values * np.exp2(parameters[0].astype(np.float32)))


def width(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int], symbols: int) -> float:
    """Bits a code."""
    return float(attributes["total_bits"])


def grid(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> Grid:
    """The values that come out; the last parameter is the format of the output."""
    scale = np.exp2(-parameters[-1].astype(np.float32))
    half = 2.0 ** (attributes["total_bits"] - 1)
    return Grid(scale, -half * scale, (half - 1) * scale, np.array(attributes["total_bits"]))
