"""Replace planned weights by DequantizePacked nodes over packed codes."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.grids.packing import pack
from onnxq.grids.uniform import UniformGrid, quantize
from onnxq.operators import DOMAIN, dequantize_packed
from onnxq.passes.names import Names
from onnxq.plan import Plan

MAX_BITS = 2**31 - 8  # positions in the operator are int32


def pack_weights(graph: gs.Graph, plan: Plan) -> bool:
    """Pack the initializers of ``plan.weights`` for the layers of ``plan.layers``; other consumers keep the float."""
    tensors, names = graph.tensors(), Names(graph)
    layers = set(plan.layers)
    for name, grid in plan.weights.items():
        weight = tensors[name]
        values: NDArray[np.float32] = weight.values
        constants = [
            gs.Constant(names.fresh(f"{name}/{field}"), array) for field, array in _packed(name, values, grid).items()
        ]
        unpacked = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, values.shape)
        node_name = names.fresh(f"{name}/DequantizePacked")
        graph.nodes.append(gs.Node(dequantize_packed.NAME, node_name, {}, constants, [unpacked], domain=DOMAIN))
        for consumer in [node for node in weight.outputs if node.name in layers and node.inputs[1] is weight]:
            consumer.inputs[1] = unpacked
    return bool(plan.weights)


def _packed(name: str, values: NDArray[np.float32], grid: UniformGrid) -> dict[str, NDArray[np.generic]]:
    """The operator's inputs, in order."""
    channels = len(values)
    bits = np.broadcast_to(grid.bits, channels)
    if int(bits.astype(np.int64).sum()) * (values.size // channels) > MAX_BITS:
        raise OnnxqError(f"weight {name} is too large to pack (over 2^31 bits); leave its layer out with --skip")
    codes = quantize(values, grid, axis=0).astype(np.uint8).reshape(channels, -1)
    return {
        "codes": pack(codes, bits),
        "bits": grid.bits,
        "scale": grid.scale,
        "zero_point": grid.zero_point,
        "shape": np.array(values.shape, np.int64),
    }
