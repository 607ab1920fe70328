"""The planned quantizers of a graph, with the nodes that are to read them. A part of ``rewrite``."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.core.points import QuantPoint
from onnxq.core.qparams import ActivationParams


@dataclass(frozen=True)
class Site:
    """A quantizer to insert: its tensor, the nodes that are to read the quantized one, and the parameters."""

    tensor: gs.Tensor
    point: QuantPoint
    readers: list[gs.Node]
    params: ActivationParams

    def redirect(self, quantized: gs.Tensor) -> None:
        """Let the readers read ``quantized``."""
        for node in self.readers:
            node.inputs = [quantized if tensor is self.tensor else tensor for tensor in node.inputs]


def sites(graph: gs.Graph, plan: Plan) -> list[Site]:
    """All of a plan, in its order."""
    tensors, nodes = graph.tensors(), {node.name: node for node in graph.nodes}
    return [
        Site(tensors[name], plan.points[name], [nodes[reader] for reader in plan.points[name].readers], params)
        for name, params in plan.activations.items()
    ]
