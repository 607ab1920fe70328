"""DequantizePacked(codes, bits, scale, zero_point, shape): weights stored as a bit stream.

    codes       uint8 [bytes], the stream of ``onnxq.formats.packing``
    bits        int32 [C] or [1], 0 to 8: the width of each output channel
    scale       float32 [C] or [1]
    zero_point  float32 [C] or [1]
    shape       int64 [rank], C first; at most 2^31 bits in all
    weights     float32 [shape] = (code - zero_point) * scale

Never given a kernel: all inputs are initializers, so that ONNX Runtime folds the function into a
plain float tensor when the session loads, and packed weights cost nothing at run time.
The numpy reference is ``onnxq.formats.packing.unpack`` and ``onnxq.formats.affine.dequantize``.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.operators import parse_function
from onnxq.operators.unpacking import UNPACK

NAME = "DequantizePacked"

BODY = f"""
DequantizePacked (codes, bits, scale, zero_point, shape) => (weights)
{{
{UNPACK}
    code32 = Cast <to: int = 1> (code)
    zero_point_column = Reshape (zero_point, column_shape)
    scale_column = Reshape (scale, column_shape)
    centred = Sub (code32, zero_point_column)
    rows = Mul (centred, scale_column)
    weights = Reshape (rows, shape)
}}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)
