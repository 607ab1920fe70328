"""How many weights of a graph are float32, by operator. A part of ``graph``, asked by the flow."""

from __future__ import annotations

from collections import Counter

import onnx_graphsurgeon as gs

from onnxq.graph.matching import is_float_constant

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
LEAST_RANK = 2  # of a weight; vectors are biases, and parameters of normalization


def float_weights(graph: gs.Graph) -> Counter[str]:
    """Operator -> values of constant float32 weights that it reads, those inside If, Loop and Scan included.

    A weight that several nodes read counts once.
    """
    found: Counter[str] = Counter()
    seen: set[int] = set()
    pending = [graph]
    while pending:
        for node in pending.pop().nodes:
            pending += [inner for inner in node.attrs.values() if isinstance(inner, gs.Graph)]
            for tensor in node.inputs if node.op in WEIGHTED else ():
                if is_float_constant(tensor) and len(tensor.shape) >= LEAST_RANK and id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[node.op] += int(tensor.values.size)
    return found
