"""Replace planned weights by DequantizePacked or DequantizeCodebook nodes over packed codes.

Codes of more than 8 bits (fixed point) are stored as uint16 and dequantized by standard operators, which are folded
when the session loads just the same.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.grids.packing import pack
from onnxq.grids.uniform import UniformGrid, broadcastable
from onnxq.operators import DOMAIN, dequantize_codebook, dequantize_packed
from onnxq.passes.names import Names
from onnxq.plan import Plan
from onnxq.weights import CodedWeight

MAX_BITS = 2**31 - 8  # positions in the operators are int32


def pack_weights(graph: gs.Graph, plan: Plan) -> bool:
    """Pack the initializers of ``plan.weights`` for the layers of ``plan.layers``; other consumers keep the float."""
    tensors, names = graph.tensors(), Names(graph)
    layers = set(plan.layers)
    for name, coded in plan.weights.items():
        weight = tensors[name]
        unpacked = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, coded.codes.shape)
        if coded.codes.dtype == np.uint16:
            _insert_wide(graph, names, name, coded, unpacked)
        else:
            constants = [
                gs.Constant(names.fresh(f"{name}/{field}"), array) for field, array in _packed(name, coded).items()
            ]
            operator = dequantize_packed.NAME if isinstance(coded.grid, UniformGrid) else dequantize_codebook.NAME
            node_name = names.fresh(f"{name}/{operator}")
            graph.nodes.append(gs.Node(operator, node_name, {}, constants, [unpacked], domain=DOMAIN))
        for consumer in [node for node in weight.outputs if node.name in layers and node.inputs[1] is weight]:
            consumer.inputs[1] = unpacked
    return bool(plan.weights)


def _insert_wide(graph: gs.Graph, names: Names, name: str, coded: CodedWeight, unpacked: gs.Variable) -> None:
    """(code - zero_point) * scale."""
    assert isinstance(coded.grid, UniformGrid)
    rank = coded.codes.ndim
    current: gs.Tensor = gs.Constant(names.fresh(f"{name}/codes"), coded.codes)
    steps = [
        ("Cast", {"to": onnx.TensorProto.FLOAT}, []),
        ("Sub", {}, [gs.Constant(names.fresh(f"{name}/zero_point"), broadcastable(coded.grid.zero_point, rank, 0))]),
        ("Mul", {}, [gs.Constant(names.fresh(f"{name}/scale"), broadcastable(coded.grid.scale, rank, 0))]),
    ]
    for op, attributes, parameters in steps:
        output = unpacked if op == "Mul" else gs.Variable(names.fresh(f"{name}/{op}"), np.float32, coded.codes.shape)
        graph.nodes.append(gs.Node(op, names.fresh(f"{name}/{op}"), attributes, [current, *parameters], [output]))
        current = output


def _packed(name: str, coded: CodedWeight) -> dict[str, NDArray[np.generic]]:
    """The operator's inputs, in order."""
    channels = len(coded.codes)
    bits = np.broadcast_to(coded.bits, channels)
    if int(bits.astype(np.int64).sum()) * (coded.codes.size // channels) > MAX_BITS:
        raise OnnxqError(f"weight {name} is too large to pack (over 2^31 bits); leave its layer out with --skip")
    fields = ("scale", "zero_point") if isinstance(coded.grid, UniformGrid) else ("levels", "scale", "offset")
    return {
        "codes": pack(coded.codes.reshape(channels, -1), bits),
        "bits": coded.bits,
        **{field: getattr(coded.grid, field) for field in fields},
        "shape": np.array(coded.codes.shape, np.int64),
    }
