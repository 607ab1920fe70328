"""UnpackSigned(codes, bits, shape): weights stored as a bit stream, as the codes that integer kernels read.

    codes    uint8 [bytes], the stream of ``onnxq.formats.packing``
    bits     int32 [C] or [1], 0 to 8: the width of each output channel
    shape    int64 [rank], C first; at most 2^31 bits in all
    weights  int8 [shape] = code - floor(2^(bits - 1))

Never given a kernel, as ``DequantizePacked``; ONNX Runtime folds it before it looks for integer kernels.
The numpy reference is ``onnxq.formats.packing.unpack``.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.operators import parse_function
from onnxq.operators.unpacking import UNPACK

NAME = "UnpackSigned"

BODY = f"""
UnpackSigned (codes, bits, shape) => (weights)
{{
{UNPACK}
    code32 = Cast <to: int = 6> (code)
    count32 = Cast <to: int = 6> (level_count)
    pair = Constant <value = int32 {{2}}> ()
    half = Div (count32, pair)
    signed = Sub (code32, half)
    rows = Cast <to: int = 3> (signed)
    weights = Reshape (rows, shape)
}}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)
