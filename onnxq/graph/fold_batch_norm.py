"""Fold BatchNormalization into the Conv or Gemm before it.

Requires: constant float32 weights. Ensures: the same function of the input up to float32 rounding,
w' = w * gamma / sqrt(var + eps) and b' = (b - mean) * gamma / sqrt(var + eps) + beta, computed in float64.
A part of ``graph``, called by ``normalize``.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.names import Names

DEFAULT_EPSILON = 1e-5


def fold_batch_norm(graph: gs.Graph) -> bool:
    """Fold every BatchNormalization that directly follows a Conv or Gemm; others stay as they are."""
    norms = [node for node in graph.nodes if node.op == "BatchNormalization" and _can_fold(graph, node)]
    names = Names(graph)
    for norm in norms:
        _fold(norm, names)
    return bool(norms)


def _can_fold(graph: gs.Graph, norm: gs.Node) -> bool:
    joint = norm.inputs[0]
    if norm.attrs.get("training_mode", 0) or len(joint.inputs) != 1 or joint.inputs[0].op not in ("Conv", "Gemm"):
        return False
    if len(joint.outputs) != 1 or any(joint is output for output in graph.outputs):
        return False
    producer = joint.inputs[0]
    if producer.op == "Gemm" and (producer.attrs.get("alpha", 1.0) != 1.0 or producer.attrs.get("beta", 1.0) != 1.0):
        return False
    constants = [*producer.inputs[1:], *norm.inputs[1:]]
    return all(isinstance(tensor, gs.Constant) and tensor.dtype == np.float32 for tensor in constants)


def _fold(norm: gs.Node, names: Names) -> None:
    producer = norm.inputs[0].inputs[0]
    gamma, beta, mean, variance = (tensor.values.astype(np.float64) for tensor in norm.inputs[1:5])
    gain = gamma / np.sqrt(variance + norm.attrs.get("epsilon", DEFAULT_EPSILON))

    weight = producer.inputs[1]
    channel_axis = 1 if producer.op == "Gemm" and not producer.attrs.get("transB", 0) else 0
    shape = [-1 if axis == channel_axis else 1 for axis in range(weight.values.ndim)]
    folded = (weight.values * gain.reshape(shape)).astype(np.float32)
    bias = producer.inputs[2].values.reshape(-1) if len(producer.inputs) > 2 else np.zeros(1)
    folded_bias = np.broadcast_to((bias - mean) * gain + beta, gain.shape).astype(np.float32)

    # New constants: the old ones may feed other nodes, or be outputs of the graph.
    producer.inputs = [
        producer.inputs[0],
        gs.Constant(names.fresh(f"{weight.name}.folded"), folded),
        gs.Constant(names.fresh(f"{weight.name}.folded_bias"), folded_bias),
    ]
    producer.outputs = [norm.outputs[0]]
    norm.outputs.clear()
