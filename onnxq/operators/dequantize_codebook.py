"""DequantizeCodebook(codes, bits, levels, scale, offset, shape): weights stored as a bit stream of indices into levels.

    codes    uint8 [bytes], the stream of ``onnxq.formats.packing``
    bits     int32 [C] or [1], 0 to 8: the width of each output channel
    levels   float32 [C, K] or [1, K], no code reaching K
    scale    float32 [C] or [1]
    offset   float32 [C] or [1]
    shape    int64 [rank], C first; at most 2^31 bits in all
    weights  float32 [shape] = levels[channel, code] * scale + offset

Never given a kernel: it is folded when the session loads, like ``DequantizePacked``.
The numpy reference is ``onnxq.formats.packing.unpack`` and ``onnxq.formats.codebook.dequantize``.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.operators import parse_function
from onnxq.operators.unpacking import UNPACK

NAME = "DequantizeCodebook"

BODY = f"""
DequantizeCodebook (codes, bits, levels, scale, offset, shape) => (weights)
{{
{UNPACK}
    index = Cast <to: int = 7> (code)
    level_shape = Shape (levels)
    level_number = Slice (level_shape, one, last)
    row_count = Concat <axis: int = 0> (channels, level_number)
    all_levels = Expand (levels, row_count)
    flat_shape = Constant <value = int64[1] {{-1}}> ()
    flat_levels = Reshape (all_levels, flat_shape)
    channel_number = Squeeze (channels)
    origin = Constant <value = int64 {{0}}> ()
    increment = Constant <value = int64 {{1}}> ()
    channel = Range (origin, channel_number, increment)
    row_offset = Mul (channel, level_number)
    first_column = Reshape (row_offset, column_shape)
    place = Add (index, first_column)
    level = Gather (flat_levels, place)
    scale_column = Reshape (scale, column_shape)
    offset_column = Reshape (offset, column_shape)
    scaled = Mul (level, scale_column)
    rows = Add (scaled, offset_column)
    weights = Reshape (rows, shape)
}}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)
