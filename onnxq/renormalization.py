"""Match what quantized convolutions make to the float network: mean and variance of every output channel.

What re-estimating the statistics of batch norm does to a quantized network that still has it; here a gain ends up in
the scale of the packed weights, and the rest in the bias. Two passes over the images: one through the float network,
one through the quantized network with every convolution's output normalized, batch by batch, to what the first pass
saw, so that each layer is measured on inputs that are already matched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.graph_session import graph_session
from onnxq.passes.insert_moments import Moments, insert_moments
from onnxq.plan import Plan
from onnxq.rewrite import carry_out
from onnxq.runtime import finite_outputs
from onnxq.weights import scaled

FloatArray = NDArray[np.float64]

LARGEST_GAIN = 4.0  # a channel that lost more than this has lost its signal: amplifying what is left makes noise
FEWEST_VALUES = 64  # of a channel in a batch, to normalize by its mean and variance


@dataclass(frozen=True)
class Match:
    """What to do to layers, by node name, float64 [C]: multiply weights and bias by ``gains``, then add ``offsets``.

    Attributes:
        notes: layers that could not be matched, a sentence each.
    """

    gains: dict[str, FloatArray]
    offsets: dict[str, FloatArray]
    notes: tuple[str, ...]


def measured_match(
    float_graph: gs.Graph,
    graph: gs.Graph,
    source: onnx.ModelProto,
    plan: Plan,
    batches: Sequence[NDArray[np.float32]],
    *,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Match:
    """Gains and offsets of the convolutions of a plan.

    Left out are layers of which a batch shows fewer than 64 values a channel (they are normalized by what the batch
    shows), and those whose bias the graph computes. Layers that share a weight, and fixed-point weights, whose steps
    are powers of two, have gain 1.

    Args:
        float_graph: normalized; graph: the same with its biases corrected, if they are to be. Both stay as they are.
        source: the model that they come from.
        batches: preprocessed images, float32 [N, C, H, W]. A smaller last one is not used.

    Raises:
        OnnxqError: the images do not fit the model, or there are none.
    """
    size = max((len(batch) for batch in batches), default=0)
    batches = [batch for batch in batches if len(batch) == size > 0]
    if not batches:
        raise OnnxqError("no images to renormalize on")
    layers, notes = _matchable(graph, plan)
    want = _moments(float_graph.copy(), source, layers, None, batches, provider, progress)
    few = [name for name in layers if want[name].count < FEWEST_VALUES]
    notes += [
        f"layer {name}: {want[name].count} values a channel in a batch are too few to renormalize by; "
        "larger batches (--batch-size) have more"
        for name in few
    ]
    layers = [name for name in layers if name not in few]
    quantized = graph.copy()
    carry_out(quantized, plan)
    got = _moments(quantized, source, layers, want, batches, provider, progress)
    fixed = set(layers) if plan.recipe.weights == "fixed-point" else _shared_weights(graph, layers)
    gains, offsets = {}, {}
    for name in layers:
        ratio = np.sqrt(want[name].variance / np.maximum(got[name].variance, 1e-30))
        usable = (ratio <= LARGEST_GAIN) & (ratio >= 1 / LARGEST_GAIN) & (name not in fixed)
        gains[name] = np.where(usable, ratio, 1.0)
        offsets[name] = want[name].mean - gains[name] * got[name].mean
    return Match(gains, offsets, tuple(notes))


def _matchable(graph: gs.Graph, plan: Plan) -> tuple[list[str], list[str]]:
    """Convolutions with a constant bias or none, and a note for each of the others."""
    layers, notes = [], []
    for node in [node for node in graph.nodes if node.op == "Conv" and node.name in set(plan.layers)]:
        if len(node.inputs) > 2 and not node.inputs[2].is_empty() and not isinstance(node.inputs[2], gs.Constant):
            notes.append(f"layer {node.name}: its bias is computed by the graph and was not renormalized")
        else:
            layers.append(node.name)
    return layers, notes


def _shared_weights(graph: gs.Graph, layers: Sequence[str]) -> set[str]:
    """Layers whose weight another one has too: they cannot have a gain of their own."""
    users: dict[str, list[str]] = {}
    for node in graph.nodes:
        if len(node.inputs) > 1:
            users.setdefault(node.inputs[1].name, []).append(node.name)
    return {name for used_by in users.values() if len(used_by) > 1 for name in used_by if name in set(layers)}


def _moments(
    graph: gs.Graph,
    source: onnx.ModelProto,
    layers: Sequence[str],
    targets: Mapping[str, Moments] | None,
    batches: Sequence[NDArray[np.float32]],
    provider: str,
    progress: Callable[[int], None] | None,
) -> dict[str, Moments]:
    """Of each layer's output over all images."""
    if not layers:
        return {}
    outputs = insert_moments(graph, layers, targets)
    session = graph_session(graph, source, provider)
    means = [np.zeros(1) for _ in layers]
    squares = [np.zeros(1) for _ in layers]
    counts = [0 for _ in layers]
    for _, values in finite_outputs(session, outputs, batches, progress):
        for index, (mean, variance, number) in enumerate(zip(values[::3], values[1::3], values[2::3], strict=True)):
            means[index] = means[index] + mean.astype(np.float64)
            squares[index] = squares[index] + variance.astype(np.float64) + mean.astype(np.float64) ** 2
            counts[index] = int(number)
    result = {}
    for name, total, square, count in zip(layers, means, squares, counts, strict=True):
        mean = total / len(batches)
        result[name] = Moments(mean, np.maximum(square / len(batches) - mean * mean, 0), count)
    return result


def renormalized(plan: Plan, graph: gs.Graph, match: Match) -> Plan:
    """The plan with the gains in its weights."""
    weights = dict(plan.weights)
    for node in graph.nodes:
        gain = match.gains.get(node.name)
        if gain is not None and (gain != 1).any():
            name = node.inputs[1].name
            weights[name] = scaled(weights[name], gain)
    return dataclasses.replace(plan, weights=weights)
