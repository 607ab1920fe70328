"""Compute what a session would compute of constants when it loads. A part of ``graph``, called by users.

For runtimes that do not fold: weights behind a Cast or one of onnxq's functions become tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxq.errors import OnnxqError
from onnxq.operators import DOMAIN, operator_function

MOST_VALUES = 2**30


def _claimed(inputs: Sequence[onnx.TensorProto]) -> int:
    """How many values a shape among the inputs asks for."""
    shapes = [numpy_helper.to_array(each) for each in inputs if each.data_type == onnx.TensorProto.INT64]
    return max((math.prod(map(int, shape.reshape(-1))) for shape in shapes), default=0)


def expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with its narrow weights in the type in which they are read.

    What a DequantizeLinear makes of constants stays as it is: integer kernels look for it.
    """
    expanded = onnx.ModelProto()
    expanded.CopyFrom(model)
    graph = expanded.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if not (node.domain == DOMAIN or node.op_type == "Cast") or not set(node.input) <= set(constants):
            kept.append(node)
            continue
        (made,) = node.output
        alone = onnx.helper.make_graph(
            [node], "constant", [], [onnx.ValueInfoProto(name=made)], [constants[name] for name in node.input]
        )
        size = _claimed([constants[name] for name in node.input])
        if not 0 <= size <= MOST_VALUES:
            raise OnnxqError(f"the weight {made} of {size} values is larger than any that is packed")
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        function = operator_function(node.op_type, opset) if node.domain == DOMAIN else None
        functions = [function] if function is not None else []  # onnxq's own, not what a file calls so
        evaluator = ReferenceEvaluator(
            onnx.helper.make_model(alone, functions=functions, opset_imports=model.opset_import)
        )
        (values,) = evaluator.run(None, {})
        constants[made] = numpy_helper.from_array(np.asarray(values), made)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    read = _read(graph)
    graph.initializer.extend(tensor for name, tensor in constants.items() if name in read)
    if not any(node.domain == DOMAIN for node in graph.node):
        functions = [function for function in expanded.functions if function.domain != DOMAIN]
        del expanded.functions[:]
        expanded.functions.extend(functions)
        others = [entry for entry in expanded.opset_import if entry.domain != DOMAIN]
        del expanded.opset_import[:]
        expanded.opset_import.extend(others)
    return expanded


def _read(graph: onnx.GraphProto) -> set[str]:
    """Names that nodes read, those inside If and Loop too, or that are outputs."""
    found = {entry.name for entry in graph.output}
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found |= _read(inner)
    return found
