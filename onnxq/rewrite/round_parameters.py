"""Put biases of layers and parameters of batch norm into the number format of the weights. A part of ``rewrite``."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.graph.names import Names


def round_parameters(graph: gs.Graph, plan: Plan) -> None:
    """Round the biases of ``plan.layers`` and all that unfolded BatchNormalization nodes hold, if the plan says so."""
    if plan.rounded_parameters is None:
        return
    names, layers = Names(graph), set(plan.layers)
    for node in graph.nodes:
        is_norm = node.op == "BatchNormalization"
        if node.name not in layers and not is_norm:
            continue
        for index in range(1 if is_norm else 2, min(len(node.inputs), 5 if is_norm else 3)):
            tensor = node.inputs[index]
            if isinstance(tensor, gs.Constant) and tensor.dtype == np.float32:
                rounded = plan.rounded_parameters(None if is_norm else node.name, tensor.values)
                node.inputs[index] = gs.Constant(names.fresh(f"{tensor.name}/rounded"), rounded)
