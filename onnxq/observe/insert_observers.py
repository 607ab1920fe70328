"""Observe tensors: an ``Observe`` node beside the consumers of each, its outputs added to the graph's.

Ensures: the graph's own outputs stay first and unchanged.
A part of ``observe``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.operator_call import DOMAIN
from onnxq.graph.names import Names
from onnxq.operators import observe

OUTPUT_TYPES = (np.float32, np.float32, np.float64, np.float64, np.int32)


def insert_observers(graph: gs.Graph, tensor_names: Sequence[str]) -> list[list[str]]:
    """Observe the named tensors; returns the names of the new outputs of each, in the order of the operator's."""
    tensors, names = graph.tensors(), Names(graph)
    added = []
    for name in tensor_names:
        outputs = [
            gs.Variable(
                names.fresh(f"{name}/{output}"),
                dtype,
                shape=[f"{name}/channels"] if dtype != np.int32 else [f"{name}/channels", "bins"],
            )
            for output, dtype in zip(observe.OUTPUTS, OUTPUT_TYPES, strict=True)
        ]
        node_name = names.fresh(f"{name}/Observe")
        graph.nodes.append(gs.Node(observe.NAME, node_name, {}, [tensors[name]], outputs, domain=DOMAIN))
        graph.outputs.extend(outputs)
        added.append([output.name for output in outputs])
    return added
