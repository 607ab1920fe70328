"""Put one FakeQuantize after every planned activation; its quantized consumers read from it, others do not."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxq.grids.uniform import broadcastable
from onnxq.operators import DOMAIN, fake_quantize
from onnxq.plan import Plan

CHANNEL_AXIS = 1


def quantize_activations(graph: gs.Graph, plan: Plan) -> bool:
    """Insert the quantizers of ``plan.activations`` before the layers of ``plan.layers``."""
    tensors = graph.tensors()
    layers = set(plan.layers)
    for name, grid in plan.activations.items():
        tensor = tensors[name]
        consumers = [node for node in tensor.outputs if node.name in layers and node.inputs[0] is tensor]
        rank = len(tensor.shape) if tensor.shape is not None else (4 if consumers[0].op == "Conv" else 2)
        parameters = [
            gs.Constant(f"{name}/{field}", broadcastable(getattr(grid, field), rank, CHANNEL_AXIS))
            for field in ("scale", "zero_point", "bits")
        ]
        quantized = gs.Variable(f"{name}/quantized", tensor.dtype, tensor.shape)
        node = gs.Node(
            fake_quantize.NAME, f"{name}/FakeQuantize", {}, [tensor, *parameters], [quantized], domain=DOMAIN
        )
        graph.nodes.append(node)
        for consumer in consumers:
            consumer.inputs[0] = quantized
    return bool(plan.activations)
