"""Replace planned weights by nodes that make them from stored codes. A part of ``rewrite``."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.errors import OnnxqError
from onnxq.graph.names import Names
from onnxq.rewrite.write_calls import write_calls


def write_weights(graph: gs.Graph, plan: Plan) -> None:
    """Store the weights of ``plan.weights`` for the layers of ``plan.layers``; other readers keep the float ones.

    Raises:
        OnnxqError: a weight cannot be stored.
    """
    tensors, names = graph.tensors(), Names(graph)
    layers = set(plan.layers)
    for name, quantized in plan.weights.items():
        weight = tensors[name]
        result = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, quantized.codes.shape)
        try:
            calls = quantized.dequantizer_calls()
        except OnnxqError as error:
            raise OnnxqError(f"weight {name}: {error}") from error
        write_calls(graph, names, name, calls, result)
        for reader in [node for node in weight.outputs if node.name in layers and node.inputs[1] is weight]:
            reader.inputs[1] = result
        for reader in [node for node in weight.outputs if node.name in plan.stored]:
            reader.inputs[0] = result
