"""Observe tensors: an ``Observe`` node beside the consumers of each, its outputs added to the graph's.

Ensures: the graph's own outputs stay first and unchanged; ``observer_outputs(name)`` are the names of what was added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.operators import DOMAIN, observe

OUTPUT_TYPES = (np.float32, np.float32, np.float64, np.float64, np.int32)


def observer_outputs(tensor_name: str) -> list[str]:
    """Names of the outputs that observe a tensor, in the order of the operator's outputs."""
    return [f"{tensor_name}/{output}" for output in observe.OUTPUTS]


def insert_observers(graph: gs.Graph, tensor_names: Sequence[str]) -> bool:
    """Observe the named tensors."""
    tensors = graph.tensors()
    for name in tensor_names:
        outputs = [
            gs.Variable(
                output, dtype, shape=[f"{name}/channels"] if dtype != np.int32 else [f"{name}/channels", "bins"]
            )
            for output, dtype in zip(observer_outputs(name), OUTPUT_TYPES, strict=True)
        ]
        graph.nodes.append(gs.Node(observe.NAME, f"{name}/Observe", {}, [tensors[name]], outputs, domain=DOMAIN))
        graph.outputs.extend(outputs)
    return bool(tensor_names)
