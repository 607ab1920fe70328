"""What the deciding stage needs to know of a network: its Conv and Gemm layers and the tensors to quantize."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.recipe import Placement

SHAPED_PLACEMENTS = ("all-inputs", "every-op", "integer")  # need the shapes of all tensors

# Read by placement ``all-inputs`` beside the layers.
READERS = ("Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean")
# What ONNX Runtime has integer kernels for beside layers, and what moves values without changing them.
INTEGER = ("Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "LeakyRelu", "Sigmoid")
PASSING = ("MaxPool", "Flatten", "Reshape", "Slice", "Pad", "Squeeze", "Unsqueeze", "Transpose")
# What leaves values on their grids; ``every-op`` rounds behind all other operators.
KEEPS_GRID = (
    *PASSING,
    *("Relu", "Clip", "Concat", "Split", "Gather", "Expand", "Tile", "Identity", "Dropout", "Max", "Min", "Where"),
    *("GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "Cast", "Constant", "Shape"),
)

# Operators whose output is non-negative where their inputs are.
_KEEP_SIGN = (*PASSING, "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Concat", "ReduceMean", "Add")


@dataclass(frozen=True)
class Activation:
    """A tensor to quantize: one that feeds Conv or Gemm layers, or one that they make.

    Attributes:
        name: the tensor.
        before: the tensor before the ReLU or Clip that made it, if that is what made it.
        upper: what that Clip clamps to; infinite for a ReLU.
        non_negative: it cannot be negative, whatever the input.
    """

    name: str
    before: str | None = None
    upper: float = math.inf
    non_negative: bool = False


@dataclass(frozen=True)
class Layer:
    """A Conv or Gemm with constant weights.

    Attributes:
        name: the node. op: 'Conv' or 'Gemm'.
        activation: its input.
        product: its output, behind the ReLU or Clip if there is one; None where that is the network's own output.
        output: the tensor that the node makes.
        weight_name: the initializer.
        weight: float32, output channels first.
        group: of a grouped convolution; output channel c sees the inputs of group c // (C / group).
        edge: it is the first or the last layer of the network.
    """

    name: str
    op: str
    activation: Activation
    product: Activation | None
    output: str
    weight_name: str
    weight: NDArray[np.float32]
    group: int
    edge: bool

    def tensor(self, placement: Placement) -> Activation | None:
        """What is quantized for this layer, if anything is."""
        if placement in ("inputs", "all-inputs", "integer"):
            return self.activation
        return self.product if placement == "outputs" else Activation(self.output)


def layers_of(graph: gs.Graph) -> list[Layer]:
    """The Conv and Gemm layers of a normalized graph, in execution order.

    A layer whose weight is computed by the graph is not one of them. The first layers are those that no other layer
    precedes, the last those that no other follows.

    Raises:
        OnnxqError: a weight has NaN or infinite values.
    """
    nodes = [
        node
        for node in graph.nodes
        if node.op in ("Conv", "Gemm")
        and node.domain in (None, "", "ai.onnx")
        and isinstance(node.inputs[1], gs.Constant)
        and node.inputs[1].dtype == np.float32
        and not node.attrs.get("transA", 0)  # its channels would come first
    ]
    for node in nodes:
        if not np.isfinite(node.inputs[1].values).all():
            raise OnnxqError(f"weight {node.inputs[1].name} has NaN or infinite values; repair the model first")
    identities = {id(node) for node in nodes}
    after_layer: set[int] = set()  # tensors that depend on a layer
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
    return [
        Layer(
            name=node.name,
            op=node.op,
            activation=_activation(node.inputs[0]),
            product=_product(graph, node.outputs[0]),
            output=node.outputs[0].name,
            weight_name=node.inputs[1].name,
            weight=node.inputs[1].values,
            group=int(node.attrs.get("group", 1)),
            edge=id(node) not in after_layer or id(node) not in followed,
        )
        for node in nodes
    ]


def other_activations(graph: gs.Graph, placement: Placement) -> list[Activation]:
    """What a placement quantizes beside the tensors of layers, in execution order.

    ``all-inputs``: the inputs of ReLU and pooling. ``every-op``: the network's inputs, and the outputs of all
    operators that compute. ``integer``: the outputs of layers and of other operators that have integer kernels, behind
    their ReLU.

    Requires: the shapes of tensors are known (``to_graph`` with ``shapes``).
    """
    if placement not in SHAPED_PLACEMENTS:
        return []
    if placement == "integer":
        made = [node.outputs[0] for node in graph.nodes if node.op in ("Conv", "Gemm", *INTEGER)]
        products = [_product(graph, tensor) for tensor in made if _is_feature_map(tensor)]
        return list(dict.fromkeys(product for product in products if product is not None))
    if placement == "all-inputs":
        tensors = [node.inputs[0] for node in graph.nodes if node.op in READERS]
    else:
        tensors = [*graph.inputs, *(node.outputs[0] for node in graph.nodes if node.op not in KEEPS_GRID)]
    floats = [tensor for tensor in tensors if _is_feature_map(tensor)]
    return list(dict.fromkeys(map(_activation if placement == "all-inputs" else _plain, floats)))


def _is_feature_map(tensor: gs.Tensor) -> bool:
    """Whether it has images and channels, unlike what graphs compute shapes with."""
    return isinstance(tensor, gs.Variable) and tensor.dtype == np.float32 and len(tensor.shape or ()) > 1


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
        if between is not None and len(tensor.outputs) == 1 and (limit := _clamp_from_zero(between)) is not None:
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


def moves_values(node: gs.Node) -> bool:
    """Whether what a node makes are values of its input, and zeros."""
    return node.op in PASSING and (node.op != "Pad" or _pads_with_zeros(node))


def same_grids(graph: gs.Graph, quantized: Collection[str]) -> dict[str, str]:
    """Of placement ``integer``: tensors that only move the values of quantized ones, and that whose grid they share."""
    same: dict[str, str] = {}
    for node in graph.nodes:
        source, output = node.inputs[0].name if node.inputs else "", node.outputs[0]
        if (
            moves_values(node)
            and (source in quantized or source in same)
            and not any(output is tensor for tensor in graph.outputs)
        ):
            same[output.name] = same.get(source, source)
    return same


def _plain(tensor: gs.Tensor) -> Activation:
    return Activation(tensor.name, non_negative=_is_non_negative(tensor))


def _activation(tensor: gs.Tensor) -> Activation:
    producer = tensor.inputs[0] if tensor.inputs else None
    upper = _clamp_from_zero(producer) if producer is not None else None
    if producer is None or upper is None:
        return Activation(tensor.name, non_negative=_is_non_negative(tensor))
    return Activation(tensor.name, producer.inputs[0].name, upper, non_negative=True)


def _product(graph: gs.Graph, tensor: gs.Tensor) -> Activation | None:
    is_output = any(tensor is output for output in graph.outputs)
    if len(tensor.outputs) == 1 and not is_output and _clamp_from_zero(tensor.outputs[0]) is not None:
        return _product(graph, tensor.outputs[0].outputs[0])
    return None if is_output else _activation(tensor)


def _clamp_from_zero(node: gs.Node) -> float | None:
    """The upper bound of a ReLU (infinite) or of a Clip whose lower bound is zero; None for any other node."""
    if node.op == "Relu":
        return math.inf
    bounds = [bound for bound in node.inputs[1:] if not bound.is_empty()] if node.op == "Clip" else []
    if not all(isinstance(bound, gs.Constant) for bound in bounds) or not bounds or node.inputs[1].is_empty():
        return None
    lower, upper = [*(float(bound.values) for bound in bounds), math.inf][:2]
    return upper if lower == 0 else None


def _pads_with_zeros(node: gs.Node) -> bool:
    value = node.inputs[2] if len(node.inputs) > 2 and not node.inputs[2].is_empty() else None
    return value is None or (isinstance(value, gs.Constant) and bool(np.all(value.values == 0)))


def _is_non_negative(tensor: gs.Tensor) -> bool:
    pending = [tensor]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if not current.inputs:
            return False
        node = current.inputs[0]
        if _clamp_from_zero(node) is not None or node.op == "Sigmoid":
            continue
        if node.op not in _KEEP_SIGN or (node.op == "Pad" and not _pads_with_zeros(node)):
            return False
        data = node.inputs if node.op in ("Concat", "Add") else node.inputs[:1]
        pending.extend(data)
    return True
