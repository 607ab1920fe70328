"""Weights of ConvTranspose, LSTM, GRU and RNN with output channels first, behind a Transpose. A part of ``graph``.

Such nodes are no layers: what they read stays in float. Their weights are stored as codes all the same, a scale for
each output channel (ConvTranspose: of each group; recurrent: each row of each gate). Called by ``normalize``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.layers import Layer
from onnxq.graph.matching import is_float_constant
from onnxq.graph.names import Names

PLACES = {"ConvTranspose": (1,), "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2)}  # inputs that are weights
SUFFIX = "/weight"


def write_stored_weights(graph: gs.Graph) -> bool:
    """Put a Transpose in front of each such weight that is a constant."""
    names, changed = Names(graph), False
    for node in [node for node in graph.nodes if node.op in PLACES]:
        for place in PLACES[node.op]:
            weight = node.inputs[place] if len(node.inputs) > place else None
            if weight is None or not is_float_constant(weight) or len(weight.shape) < 3 or not weight.values.size:
                continue
            order = [1, 0, *range(2, len(weight.shape))]
            swapped = gs.Constant(
                names.fresh(f"{weight.name}.channels_first"), np.ascontiguousarray(weight.values.transpose(order))
            )
            made = gs.Variable(names.fresh(f"{weight.name}/transposed"), np.float32, weight.shape)
            name = names.fresh(f"{node.name or node.op}{SUFFIX}")
            graph.nodes.append(gs.Node("Transpose", name, {"perm": order}, [swapped], [made]))
            node.inputs[place] = made
            changed = True
    return changed


def stored_weights(graph: gs.Graph) -> Iterator[Layer]:
    """Those of a normalized graph, each as a layer of its own, called as its Transpose is."""
    for node in graph.nodes:
        if node.op != "Transpose" or SUFFIX not in node.name or not is_float_constant(node.inputs[0]):
            continue
        readers = node.outputs[0].outputs
        weight = node.inputs[0]
        if readers and all(reader.op in PLACES for reader in readers) and np.isfinite(weight.values).all():
            yield Layer(
                name=node.name,
                op=readers[0].op,
                input="",
                output=node.outputs[0].name,
                weight_name=weight.name,
                weight=weight.values,
            )
