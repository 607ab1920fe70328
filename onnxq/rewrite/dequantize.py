"""A DequantizeLinear behind constants. A part of ``rewrite``, called where weights, biases and operands are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.names import Names


def dequantized(
    graph: gs.Graph, names: Names, name: str, inputs: Sequence[gs.Tensor], shape: Sequence[int], axis: int | None
) -> gs.Variable:
    """Append the node; returns what it makes, float32.

    Args:
        name: new names begin with it. inputs: codes, scale, and the zero point if there is one.
        shape: of the codes. axis: that scales belong to; None where there is one scale.
    """
    made = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, shape)
    attributes = {} if axis is None else {"axis": axis}
    node_name = names.fresh(f"{name}/DequantizeLinear")
    graph.nodes.append(gs.Node("DequantizeLinear", node_name, attributes, list(inputs), [made]))
    return made
