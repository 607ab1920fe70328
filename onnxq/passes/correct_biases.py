"""Scale the biases of layers and add to them; one that has none gets one.

Requires: the biases of these layers are constants. (A layer whose bias the graph computes is left as it is.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.passes.names import Names


def correct_biases(
    graph: gs.Graph, shifts: Mapping[str, NDArray[np.float64]], gains: Mapping[str, NDArray[np.float64]] | None = None
) -> tuple[str, ...]:
    """bias * ``gains[node name]`` + ``shifts[node name]``, float64 [C], for each Conv or Gemm that ``shifts`` names.

    Returns a note for each left out.
    """
    names = Names(graph)
    notes = []
    nodes = [node for node in graph.nodes if node.name in shifts]
    for node in nodes:
        shift = shifts[node.name]
        if len(node.inputs) < 3 or node.inputs[2].is_empty():
            bias = gs.Constant(names.fresh(f"{node.name}/bias"), shift.astype(np.float32))
            node.inputs = [*node.inputs[:2], bias]
        elif isinstance(node.inputs[2], gs.Constant) and node.attrs.get("beta", 1.0) == 1.0:
            gain = gains[node.name] if gains else 1.0
            corrected = (node.inputs[2].values * gain + shift).astype(np.float32)
            node.inputs[2] = gs.Constant(names.fresh(f"{node.inputs[2].name}/corrected"), corrected)
        else:
            notes.append(f"layer {node.name}: its bias is computed by the graph and was not corrected")
    return tuple(notes)
