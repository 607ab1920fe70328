"""FakeQuantize(x, scale, zero_point, bits): uniform quantize-dequantize, each channel at its own width.

    x           T [any shape], T = float32 or float16
    scale       float32, a scalar or one value a channel in a shape that broadcasts against x
    zero_point  float32, likewise; integral
    bits        int32, likewise; 0 to 8
    y           T, the shape of x

q = clamp(round_half_even(x / scale) + zero_point, 0, 2^bits - 1); y = (q - zero_point) * scale, all in
float32, rounded to T once at the end. NaN gives NaN, +-Inf saturates; with bits = 0, y = -zero_point * scale.
The numpy reference is ``onnxq.grids.uniform.fake_quantize``.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.operators import parse_function

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
