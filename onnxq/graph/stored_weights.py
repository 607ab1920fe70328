"""Weights that are stored as codes though their nodes are no layers: with output channels first, behind a Transpose.

Those of ConvTranspose, LSTM, GRU and RNN, and of whatever lies inside If, Loop and Scan: what such nodes read stays in
float. A scale for each output channel (ConvTranspose: of each group; recurrent: each row of each gate). Codes of what
lies inside stand outside, where they are dequantized once. A part of ``graph``, called by ``normalize``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.layers import Layer
from onnxq.graph.matching import STANDARD, is_float_constant, subgraphs
from onnxq.graph.names import Names

PLACES = {"ConvTranspose": (1,), "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2)}  # inputs that are weights
INSIDE = {"Conv": (1,), "Gemm": (1,), "MatMul": (1,), **PLACES}  # and of nodes in subgraphs
CHANNELS_FIRST = ("Conv",)
SUFFIX = "/weight"


def write_stored_weights(graph: gs.Graph) -> bool:
    """Put a Transpose, of the outermost graph, in front of each such weight that is a constant."""
    names, made = Names(graph), dict[tuple[int, tuple[int, ...]], gs.Variable]()
    for node, places in [
        *_weighted(graph, PLACES),
        *(pair for inner in subgraphs(graph) for pair in _weighted(inner, INSIDE)),
    ]:
        for place in places:
            weight = node.inputs[place] if len(node.inputs) > place else None
            if weight is None or not is_float_constant(weight) or not weight.values.size:
                continue
            order = _channels_first(node, len(weight.shape))
            if order is None:
                continue
            if (id(weight), order) not in made:
                made[id(weight), order] = _behind_transpose(graph, names, node, weight, order)
            node.inputs[place] = made[id(weight), order]
    return bool(made)


def _weighted(graph: gs.Graph, places: dict[str, tuple[int, ...]]) -> list[tuple[gs.Node, tuple[int, ...]]]:
    return [(node, places[node.op]) for node in graph.nodes if node.op in places and node.domain in STANDARD]


def _channels_first(node: gs.Node, rank: int) -> tuple[int, ...] | None:
    """The order of a weight's axes that has its output channels first; None where it is no such weight."""
    axes = tuple(range(rank))
    if node.op in ("MatMul", "Gemm"):
        return None if rank != 2 else axes if node.attrs.get("transB", 0) else (1, 0)
    if rank < 3:
        return None
    return axes if node.op in CHANNELS_FIRST else (1, 0, *axes[2:])


def _behind_transpose(
    graph: gs.Graph, names: Names, node: gs.Node, weight: gs.Constant, order: tuple[int, ...]
) -> gs.Variable:
    first = gs.Constant(
        names.fresh(f"{weight.name}.channels_first"), np.ascontiguousarray(weight.values.transpose(order))
    )
    back = [int(axis) for axis in np.argsort(order)]
    result = gs.Variable(names.fresh(f"{weight.name}/transposed"), np.float32, weight.shape)
    name = names.fresh(f"{node.name or node.op}{SUFFIX}")
    graph.nodes.append(gs.Node("Transpose", name, {"perm": back}, [first], [result]))
    return result


def stored_weights(graph: gs.Graph) -> Iterator[Layer]:
    """Those of a normalized graph, each as a layer of its own, called as its Transpose is."""
    for node in graph.nodes:
        if node.op != "Transpose" or SUFFIX not in node.name or not is_float_constant(node.inputs[0]):
            continue
        readers = node.outputs[0].outputs
        weight = node.inputs[0]
        if readers and all(reader.op in INSIDE for reader in readers) and np.isfinite(weight.values).all():
            yield Layer(
                name=node.name,
                op=readers[0].op,
                input="",
                output=node.outputs[0].name,
                weight_name=weight.name,
                weight=weight.values,
            )
