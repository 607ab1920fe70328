"""How many weights of a graph are float32, by operator. A part of ``graph``, asked by the flow."""

from __future__ import annotations

from collections import Counter

import onnx_graphsurgeon as gs

from onnxq.graph.matching import is_float_constant, maker_of, subgraphs
from onnxq.graph.stored_weights import PLACES

WEIGHTS = {"Conv": (1,), "Gemm": (0, 1), "MatMul": (0, 1), **PLACES}  # inputs that can be weights
LEAST_RANK = 2  # of a weight


def float_weights(graph: gs.Graph) -> Counter[str]:
    """Operator -> values of constant float32 weights that it reads, those inside If, Loop and Scan included.

    A weight that several nodes read counts once.
    """
    found: Counter[str] = Counter()
    seen: set[int] = set()
    for part in (graph, *subgraphs(graph)):
        for node in part.nodes:
            places = [place for place in WEIGHTS.get(node.op, ()) if place < len(node.inputs)]
            for tensor in (_weight(node.inputs[place]) for place in places):
                if is_float_constant(tensor) and len(tensor.shape) >= LEAST_RANK and id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[node.op] += int(tensor.values.size)
    return found


def _weight(tensor: gs.Tensor) -> gs.Tensor:
    """What a Transpose in front of a node moves, or the tensor itself."""
    maker = maker_of(tensor, "Transpose")
    return maker.inputs[0] if maker is not None else tensor
