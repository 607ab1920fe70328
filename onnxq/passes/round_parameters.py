"""Put biases of layers and parameters of batch norm into fixed point, each in a format of its own."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.grids import fixed_point
from onnxq.passes.names import Names
from onnxq.plan import Plan
from onnxq.weights import fixed_point_format


def round_parameters(graph: gs.Graph, plan: Plan) -> bool:
    """Round the biases of ``plan.layers`` and all that unfolded BatchNormalization nodes hold.

    Per channel, every value of a vector has a format of its own.
    """
    names = Names(graph)
    layers = set(plan.layers)
    recipe = plan.recipe
    per_channel = recipe.weight_granularity == "per-channel"
    for node in graph.nodes:
        is_norm = node.op == "BatchNormalization"
        if node.name not in layers and not is_norm:
            continue
        for index in range(1 if is_norm else 2, min(len(node.inputs), 5 if is_norm else 3)):
            tensor = node.inputs[index]
            if isinstance(tensor, gs.Constant) and tensor.dtype == np.float32:
                weight_bits = recipe.weight_bits if is_norm else plan.weights[node.inputs[1].name].bits[0]
                grid = fixed_point_format(tensor.values, int(weight_bits), per_channel, recipe)
                rounded = fixed_point.fake_quantize(tensor.values, grid, axis=0)
                node.inputs[index] = gs.Constant(names.fresh(f"{tensor.name}/rounded"), rounded)
    return True
