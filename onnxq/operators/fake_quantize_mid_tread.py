"""FakeQuantizeMidTread(x, scale, first, last): quantize-dequantize on multiples of scale, any number of them.

    x            T [any shape], T = float32 or float16
    scale        float32, a scalar or one value a channel in a shape that broadcasts against x
    first, last  float32, likewise: the outermost codes
    y            T, the shape of x

y = clamp(round_half_even(x / scale), first, last) * scale, in float32, rounded to T once at the end. NaN gives NaN,
+-Inf saturates.
The numpy reference is ``onnxq.formats.mid_tread.fake_quantize``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto

from onnxq.operators import parse_function
from onnxq.operators.grid import Grid

NAME = "FakeQuantizeMidTread"

BODY = """
FakeQuantizeMidTread (x, scale, first, last) => (y)
{
    x32 = Cast <to: int = 1> (x)
    steps = Div (x32, scale)
    rounded = Round (steps)
    not_below = Max (rounded, first)
    codes = Min (not_below, last)
    y32 = Mul (codes, scale)
    y = CastLike (y32, x)
}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)


def codes(values: NDArray[Any], parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> NDArray[Any]:
    """The codes that quantized values stand for; the outermost published ones are fractions."""
    return (values / parameters[0]).round(3)


def width(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int], symbols: int) -> float:
    """Bits a code, by how many different ones there are."""
    return float(np.log2(max(symbols, 1)))


def grid(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> Grid:
    """The values that come out."""
    scale, first, last = parameters
    bits = np.ceil(np.log2(np.ceil(last) - np.floor(first) + 1))
    return Grid(scale, first * scale, last * scale, bits, whole_inside=True)
