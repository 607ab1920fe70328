"""Give a layer of a graph what it computes with. A part of ``refine``."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.graph.names import Names

Float32 = NDArray[np.float32]


def node_of(graph: gs.Graph, name: str) -> gs.Node:
    """The node of this name."""
    return next(node for node in graph.nodes if node.name == name)


def settle(graph: gs.Graph, layer: str, weight: Float32, bias: Float32 | None) -> None:
    """What a layer computes with, as constants; None leaves its bias as it is."""
    node, names = node_of(graph, layer), Names(graph)
    rest = list(node.inputs[2:]) if bias is None else [gs.Constant(names.fresh(f"{layer}/bias"), bias)]
    node.inputs = [node.inputs[0], gs.Constant(names.fresh(f"{layer}/weight"), weight), *rest]
