"""Leave out what a file need not hold. A part of ``graph``, called by the flow on quantized models."""

from __future__ import annotations

import onnx

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
PLACE = 2  # of the zero point, among their inputs


def compact(model: onnx.ModelProto) -> None:
    """Drop types and shapes that can be inferred, and all but the first of equal zero points."""
    del model.graph.value_info[:]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    for node in model.graph.node:
        if node.op_type in QUANTIZERS and len(node.input) > PLACE and node.input[PLACE] in constants:
            zero_point = constants[node.input[PLACE]]
            if zero_point.raw_data:
                key = (zero_point.data_type, tuple(zero_point.dims), zero_point.raw_data)
                node.input[PLACE] = first.setdefault(key, zero_point.name)
    read = {name for node in model.graph.node for name in node.input} | {entry.name for entry in model.graph.output}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)
