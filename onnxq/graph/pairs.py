"""Pairs of layers whose channels between them can be scaled. A part of ``graph``, called by ``refine.equalize``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.clamps import clamp_from_zero


@dataclass(frozen=True)
class Pair:
    """Two layers of which the second reads what the first makes, and nothing else does.

    Attributes:
        first, second: Conv or Gemm nodes of the graph, with weights that no other node has.
        tensor: the input of the second, behind the ReLU or Clip if there is one.
        upper: what that Clip clamps to; infinite for a ReLU or nothing.
        depthwise: each channel of the second reads one channel.
    """

    first: gs.Node
    second: gs.Node
    tensor: str
    upper: float
    depthwise: bool


def pairs_of(graph: gs.Graph) -> list[Pair]:
    """All pairs of layers whose channels between them can be scaled, in execution order."""
    own = [node for node in graph.nodes if node.op in ("Conv", "Gemm") and _has_weights_of_its_own(node)]
    identities = {id(node) for node in own}
    pairs = []
    for second in own:
        tensor, upper = second.inputs[0], math.inf
        between = tensor.inputs[0] if tensor.inputs else None
        if between is not None and len(tensor.outputs) == 1 and (limit := clamp_from_zero(between)) is not None:
            tensor, upper = between.inputs[0], limit
        first = tensor.inputs[0] if tensor.inputs else None
        read_once = len(tensor.outputs) == 1 and len(second.inputs[0].outputs) == 1
        is_output = any(tensor is output or second.inputs[0] is output for output in graph.outputs)
        group = int(second.attrs.get("group", 1))
        channels = second.inputs[1].shape
        depthwise = group > 1 and group == channels[0] and channels[1] == 1
        if first is None or id(first) not in identities or not read_once or is_output or (group > 1 and not depthwise):
            continue
        pairs.append(Pair(first, second, second.inputs[0].name, upper, depthwise))
    return pairs


def _has_weights_of_its_own(node: gs.Node) -> bool:
    """Whether a layer's weight and bias are float constants that nobody else reads, output channels first."""
    constants = node.inputs[1:]
    return (
        all(isinstance(tensor, gs.Constant) and len(tensor.outputs) == 1 for tensor in constants)
        and all(tensor.dtype == np.float32 for tensor in constants)
        and (node.op == "Conv" or (bool(node.attrs.get("transB", 0)) and not node.attrs.get("transA", 0)))
        and all(tuple(bias.shape) == (node.inputs[1].shape[0],) for bias in node.inputs[2:])
    )
