"""FakeQuantizeMidTread(x, scale, first, last): quantize-dequantize on multiples of scale, any number of them.

    x            T [any shape], T = float32 or float16
    scale        float32, a scalar or one value a channel in a shape that broadcasts against x
    first, last  float32, likewise: the outermost codes
    y            T, the shape of x

y = clamp(round_half_even(x / scale), first, last) * scale, in float32, rounded to T once at the end. NaN gives NaN,
+-Inf saturates.
The numpy reference is ``onnxq.grids.mid_tread.fake_quantize``.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.operators import parse_function

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
