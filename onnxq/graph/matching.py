"""Questions that patterns of nodes are recognized by. A part of ``graph``, asked by its passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

STANDARD = (None, "", "ai.onnx")  # domains of ONNX's own operators


def maker_of(tensor: gs.Tensor | None, *operators: str) -> gs.Node | None:
    """The node that makes a tensor, if it is one of these operators."""
    if tensor is None or not tensor.inputs or tensor.inputs[0].op not in operators:
        return None
    return tensor.inputs[0]


def is_float_constant(tensor: gs.Tensor) -> bool:
    """Whether it is a constant in float32."""
    return isinstance(tensor, gs.Constant) and tensor.dtype == np.float32


def is_value(tensor: gs.Tensor, value: float) -> bool:
    """Whether it is a constant of this one value."""
    return isinstance(tensor, gs.Constant) and tensor.values.size == 1 and float(tensor.values.item()) == value


def subgraphs(graph: gs.Graph) -> Iterator[gs.Graph]:
    """Those inside If, Loop and Scan, and inside of them."""
    for node in graph.nodes:
        for inner in node.attrs.values():
            if isinstance(inner, gs.Graph):
                yield inner
                yield from subgraphs(inner)
