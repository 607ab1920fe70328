"""Fold what scales and shifts the channels of a Conv or Gemm into it: BatchNormalization, and constants of Mul and Add.

Requires: constant float32 weights. Ensures: the same function of the input up to float32 rounding, w' = w * gain and
b' = b * gain + offset, computed in float64; of BatchNormalization gain = gamma / sqrt(var + eps) and
offset = beta - mean * gain. A part of ``graph``, called by ``normalize``.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.graph.matching import is_float_constant
from onnxq.graph.names import Names

DEFAULT_EPSILON = 1e-5
FloatArray = NDArray[np.float64]


def fold_affine(graph: gs.Graph, *, keep_batch_norm: bool = False) -> bool:
    """Fold every such node that directly follows a Conv or Gemm; others stay as they are."""
    names, changed = Names(graph), False
    for node in [node for node in graph.nodes if not (keep_batch_norm and node.op == "BatchNormalization")]:
        layer = _layer_before(graph, node)
        if layer is None:
            continue
        weight = layer.inputs[1]
        found = gain_and_offset(node, weight.shape[_channel_axis(layer)], len(weight.shape))
        if found is not None:
            _fold(layer, node, *found, names)
            changed = True
    return changed


def gain_and_offset(node: gs.Node, channels: int, rank: int) -> tuple[FloatArray, FloatArray] | None:
    """What a node does to each channel of a tensor of this rank, float64 [C] each; None if that is not by constants."""
    if node.op == "BatchNormalization":
        if node.attrs.get("training_mode", 0) or not all(map(is_float_constant, node.inputs[1:])):
            return None
        gamma, beta, mean, variance = (tensor.values.astype(np.float64) for tensor in node.inputs[1:5])
        gain = gamma / np.sqrt(variance + node.attrs.get("epsilon", DEFAULT_EPSILON))
        return gain, beta - mean * gain
    constants = [tensor for tensor in node.inputs if is_float_constant(tensor)]
    if node.op not in ("Mul", "Add") or len(constants) != 1:
        return None
    values = constants[0].values.astype(np.float64)
    if values.ndim > rank or (values.size != 1 and not _is_of_channels(values.shape, rank, channels)):
        return None
    each = np.broadcast_to(values.reshape(-1), channels)
    return (each, np.zeros(channels)) if node.op == "Mul" else (np.ones(channels), each)


def _is_of_channels(shape: tuple[int, ...], rank: int, channels: int) -> bool:
    """Whether it has one value for each index of axis 1 of a tensor of this rank."""
    return (1,) * (rank - len(shape)) + tuple(shape) == (1, channels, *[1] * (rank - 2))


def _layer_before(graph: gs.Graph, node: gs.Node) -> gs.Node | None:
    """The layer of constant weights whose output this node alone reads, once."""
    made = [tensor for tensor in node.inputs if tensor.inputs]
    if len(made) != 1 or len(node.outputs) < 1:
        return None
    (joint,) = made
    layer = joint.inputs[0]
    if layer.op not in ("Conv", "Gemm") or len(joint.outputs) != 1 or any(joint is output for output in graph.outputs):
        return None
    if layer.op == "Gemm" and (layer.attrs.get("alpha", 1.0) != 1.0 or layer.attrs.get("beta", 1.0) != 1.0):
        return None
    if not all(map(is_float_constant, layer.inputs[1:])):
        return None
    bias = layer.inputs[2].values if len(layer.inputs) > 2 else np.zeros(1)
    of_channels = bias.size == 1 or bias.shape in ((bias.size,), (1, bias.size))
    return layer if of_channels and bias.size in (1, layer.inputs[1].shape[_channel_axis(layer)]) else None


def _channel_axis(layer: gs.Node) -> int:
    """Of the output channels in its weight."""
    return 1 if layer.op == "Gemm" and not layer.attrs.get("transB", 0) else 0


def _fold(layer: gs.Node, node: gs.Node, gain: FloatArray, offset: FloatArray, names: Names) -> None:
    weight = layer.inputs[1]
    shape = [-1 if axis == _channel_axis(layer) else 1 for axis in range(weight.values.ndim)]
    folded = (weight.values * gain.reshape(shape)).astype(np.float32)
    bias = layer.inputs[2].values.reshape(-1) if len(layer.inputs) > 2 else np.zeros(1)
    folded_bias = np.broadcast_to(bias * gain + offset, gain.shape).astype(np.float32)

    # New constants: the old ones may feed other nodes, or be outputs of the graph.
    layer.inputs = [
        layer.inputs[0],
        gs.Constant(names.fresh(f"{weight.name}.folded"), folded),
        gs.Constant(names.fresh(f"{weight.name}.folded_bias"), folded_bias),
    ]
    layer.outputs = [node.outputs[0]]
    node.outputs.clear()
