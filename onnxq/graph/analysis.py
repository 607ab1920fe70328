"""From a normalized graph to the words of ``onnxq.core``: layers and structure.

A part of ``graph``, called by the flow and by ``observe``. Every stage
gets the same ``Network``, whenever the model is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.layers import Layer
from onnxq.core.network import Network, Node
from onnxq.errors import OnnxqError
from onnxq.graph.clamps import clamp_from_zero
from onnxq.graph.matching import STANDARD, is_float_constant, maker_of
from onnxq.graph.stored_weights import stored_weights

LAYERS = ("Conv", "Gemm")
MULTIPLYING = (*LAYERS, "MatMul")
RESHAPING = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Cast")


def network_of(graph: gs.Graph) -> Network:
    """The structure of a normalized graph.

    Raises:
        OnnxqError: a weight has NaN or infinite values.
    """
    return Network(
        nodes=tuple(_node(node) for node in graph.nodes),
        layers=tuple(layers_of(graph)),
        inputs=tuple(tensor.name for tensor in graph.inputs),
        outputs=tuple(tensor.name for tensor in graph.outputs),
        ranks=_ranks(graph),
        feature_maps=frozenset(tensor.name for tensor in [*graph.inputs, *_made(graph)] if _is_feature_map(tensor)),
        stored=tuple(stored_weights(graph)),
        decoding=frozenset(node.name for node in graph.nodes if _decodes(node)),
    )


def layers_of(graph: gs.Graph) -> list[Layer]:
    """The Conv and Gemm layers of a normalized graph, in execution order.

    A layer whose weight is computed by the graph is not one of them. The first layers are those that no other layer
    precedes, the last those that no other follows; layers that decode do not count.

    Raises:
        OnnxqError: a weight has NaN or infinite values.
    """
    nodes = [node for node in graph.nodes if is_layer(node)]
    for node in nodes:
        if not np.isfinite(node.inputs[1].values).all():
            raise OnnxqError(f"weight {node.inputs[1].name} has NaN or infinite values; repair the model first")
    decoding = {id(node) for node in nodes if _decodes(node)}
    first, last = _first_and_last(graph, [node for node in nodes if id(node) not in decoding])
    taken = {node.name for node in graph.nodes}
    found = [
        _layer(node, first=id(node) in first, last=id(node) in last | decoding, decodes=id(node) in decoding)
        for node in nodes
    ]
    return [
        replace(layer, aliases=tuple(name for name in (layer.output, layer.weight_name) if name not in taken))
        for layer in found
    ]


def is_layer(node: gs.Node) -> bool:
    """Whether it is a Conv or Gemm with constant float32 weights, output channels first."""
    return (
        node.op in LAYERS
        and node.domain in STANDARD
        and isinstance(node.inputs[1], gs.Constant)
        and node.inputs[1].dtype == np.float32
        and not node.attrs.get("transA", 0)  # its channels would come first
    )


def _decodes(node: gs.Node) -> bool:
    """Whether a node multiplies a Softmax by constant weights, behind nothing but new shapes."""
    if node.op not in MULTIPLYING or not is_float_constant(node.inputs[1]):
        return False
    maker = maker_of(node.inputs[0], "Softmax", *RESHAPING)
    while maker is not None and maker.op in RESHAPING:
        maker = maker_of(maker.inputs[0], "Softmax", *RESHAPING)
    return maker is not None


def moves_values(node: gs.Node, moving: tuple[str, ...]) -> bool:
    """Whether what a node makes are values of its input, and zeros; ``moving``: operators that only move values."""
    return node.op in moving and _pads_with(node) == 0


def constant_bias(node: gs.Node) -> gs.Constant | None:
    """The bias of a layer, if it is a constant that is added as it is."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return bias if isinstance(bias, gs.Constant) and node.attrs.get("beta", 1.0) == 1.0 else None


def has_bias(node: gs.Node) -> bool:
    """Whether a layer adds a bias, constant or not."""
    return len(node.inputs) > 2 and not node.inputs[2].is_empty()


def _layer(node: gs.Node, *, first: bool, last: bool, decodes: bool) -> Layer:
    bias = constant_bias(node)
    weight = node.inputs[1].values
    spatial = weight.ndim - 2
    values = None
    if bias is not None:
        values = (
            np.ascontiguousarray(np.broadcast_to(bias.values.reshape(-1), len(weight)))
            if _is_vector(bias, len(weight))
            else None
        )
    return Layer(
        name=node.name,
        op=node.op,
        input=node.inputs[0].name,
        output=node.outputs[0].name,
        weight_name=node.inputs[1].name,
        weight=weight,
        bias=values,
        computed_bias=has_bias(node) and values is None,
        group=int(node.attrs.get("group", 1)),
        strides=tuple(node.attrs.get("strides", [1] * spatial)),
        pads=tuple(node.attrs.get("pads", [0] * 2 * spatial)),
        dilations=tuple(node.attrs.get("dilations", [1] * spatial)),
        auto_pad=str(node.attrs.get("auto_pad", "NOTSET")),
        decodes=decodes,
        first_or_last=first or last,
        last=last and not first,
    )


def _is_vector(bias: gs.Constant, channels: int) -> bool:
    return bias.values.size in (1, channels) and bias.values.ndim <= 1


def _first_and_last(graph: gs.Graph, layers: list[gs.Node]) -> tuple[set[int], set[int]]:
    """Identities of the layers that no other precedes, and of those that none follows."""
    identities = {id(node) for node in layers}
    after_layer: set[int] = set()  # layers that depend on a layer
    followed: set[int] = set()  # layers that another layer depends on
    sources: dict[int, frozenset[int]] = {}  # tensor -> the nearest layers that it depends on
    for node in graph.nodes:
        nearest = frozenset().union(*(sources.get(id(tensor), frozenset()) for tensor in node.inputs))
        if id(node) in identities:
            followed |= nearest
            after_layer |= {id(node)} if nearest else set()
            nearest = frozenset([id(node)])
        for output in node.outputs:
            sources[id(output)] = nearest
    return identities - after_layer, identities - followed


def _node(node: gs.Node) -> Node:
    return Node(
        name=node.name,
        op=node.op,
        inputs=tuple(tensor.name for tensor in node.inputs),
        outputs=tuple(tensor.name for tensor in node.outputs),
        clamps_to=clamp_from_zero(node),
        pads_with=_pads_with(node),
        interpolates=node.op == "Resize"
        and (
            node.attrs.get("mode", "nearest") != "nearest"
            or node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
        ),
    )


def _pads_with(node: gs.Node) -> float | None:
    """The value that a Pad writes, None where that is computed; 0 for other nodes."""
    if node.op != "Pad" or len(node.inputs) < 3 or node.inputs[2].is_empty():
        return 0.0
    value = node.inputs[2]
    return float(value.values.reshape(-1)[0]) if isinstance(value, gs.Constant) else None


def _made(graph: gs.Graph) -> Iterator[gs.Tensor]:
    return (tensor for node in graph.nodes for tensor in node.outputs)


def _is_feature_map(tensor: gs.Tensor) -> bool:
    """Whether it has images and channels, unlike what graphs compute shapes with."""
    return isinstance(tensor, gs.Variable) and tensor.dtype == np.float32 and len(tensor.shape or ()) > 1


def _ranks(graph: gs.Graph) -> dict[str, int]:
    """Of tensors of known shape; a layer's weight has the rank of its input and of its output."""
    ranks = {tensor.name: len(tensor.shape) for tensor in [*graph.inputs, *_made(graph)] if tensor.shape is not None}
    for node in graph.nodes:
        if not is_layer(node):
            continue
        rank = len(node.inputs[1].shape)
        ranks |= {node.inputs[0].name: rank, node.outputs[0].name: rank}
        tensor = node.outputs[0]
        while len(tensor.outputs) == 1 and tensor.outputs[0].op in ("Relu", "Clip"):
            tensor = tensor.outputs[0].outputs[0]
            ranks[tensor.name] = rank
    return ranks
