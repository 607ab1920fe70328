"""Put one FakeQuantize after every planned activation; its quantized consumers read from it, others do not."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from onnxq.grids.uniform import UniformGrid, broadcastable
from onnxq.operators import DOMAIN, fake_quantize
from onnxq.passes.names import Names
from onnxq.plan import Plan

CHANNEL_AXIS = 1


def planned_activations(graph: gs.Graph, plan: Plan) -> Iterator[tuple[gs.Tensor, UniformGrid, int, list[gs.Node]]]:
    """Each tensor to quantize, with its grid, its rank and the layers that are to read the quantized one."""
    tensors = graph.tensors()
    layers = set(plan.layers)
    for name, grid in plan.activations.items():
        tensor = tensors[name]
        consumers = [node for node in tensor.outputs if node.name in layers and node.inputs[0] is tensor]
        yield tensor, grid, len(consumers[0].inputs[1].shape), consumers  # a layer's weight has the rank of its input


def quantize_activations(graph: gs.Graph, plan: Plan) -> bool:
    """Insert the quantizers of ``plan.activations`` before the layers of ``plan.layers``."""
    names = Names(graph)
    for tensor, grid, rank, consumers in list(planned_activations(graph, plan)):
        name = tensor.name
        parameters = [
            gs.Constant(names.fresh(f"{name}/{field}"), broadcastable(getattr(grid, field), rank, CHANNEL_AXIS))
            for field in ("scale", "zero_point", "bits")
        ]
        quantized = gs.Variable(names.fresh(f"{name}/quantized"), tensor.dtype, tensor.shape)
        node_name = names.fresh(f"{name}/FakeQuantize")
        graph.nodes.append(
            gs.Node(fake_quantize.NAME, node_name, {}, [tensor, *parameters], [quantized], domain=DOMAIN)
        )
        for consumer in consumers:
            consumer.inputs[0] = quantized
    return bool(plan.activations)
