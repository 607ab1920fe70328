"""FakeQuantize(x, scale, zero_point, bits): uniform quantize-dequantize, each channel at its own width.

    x           T [any shape], T = float32 or float16
    scale       float32, a scalar or one value a channel in a shape that broadcasts against x
    zero_point  float32, likewise; integral
    bits        int32, likewise; 0 to 8
    y           T, the shape of x

q = clamp(round_half_even(x / scale) + zero_point, 0, 2^bits - 1); y = (q - zero_point) * scale, all in
float32, rounded to T once at the end. NaN gives NaN, +-Inf saturates; with bits = 0, y = -zero_point * scale.
The numpy reference is ``onnxq.formats.affine.fake_quantize``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto

from onnxq.operators import parse_function
from onnxq.operators.grid import Grid

NAME = "FakeQuantize"

BODY = """
FakeQuantize (x, scale, zero_point, bits) => (y)
{
    x32 = Cast <to: int = 1> (x)
    steps = Div (x32, scale)
    rounded = Round (steps)
    shifted = Add (rounded, zero_point)
    zero = Constant <value = float {0.0}> ()
    one = Constant <value = float {1.0}> ()
    two = Constant <value = float {2.0}> ()
    level_count = Pow (two, bits)
    top = Sub (level_count, one)
    not_below = Max (shifted, zero)
    codes = Min (not_below, top)
    centred = Sub (codes, zero_point)
    y32 = Mul (centred, scale)
    y = CastLike (y32, x)
}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)


def codes(values: NDArray[Any], parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> NDArray[Any]:
    """The codes that quantized values stand for; parameters and attributes are those of the node."""
    scale, zero_point, _ = parameters
    return np.rint(values / scale + zero_point)


def width(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int], symbols: int) -> float:
    """Bits a code, mean over channels."""
    return float(parameters[2].mean())


def grid(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> Grid:
    """The values that come out."""
    scale, zero_point, bits = parameters
    return Grid(scale, -zero_point * scale, (np.exp2(bits) - 1 - zero_point) * scale, bits)
