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
from onnxq.graph import to_model
from onnxq.passes.insert_moments import Moments, insert_moments
from onnxq.plan import Plan
from onnxq.recipe import Recipe
from onnxq.rewrite import carry_out
from onnxq.runtime import check_batch, image_input, make_session
from onnxq.weights import CodedWeight, code_weight, scaled

FloatArray = NDArray[np.float64]

LARGEST_GAIN = 4.0  # a channel that lost more than this has lost its signal: amplifying what is left makes noise


@dataclass(frozen=True)
class Match:
    """What to do to layers, by node name, float64 [C]: multiply weights and bias by ``gains``, then add ``offsets``."""

    gains: dict[str, FloatArray]
    offsets: dict[str, FloatArray]


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

    Args:
        float_graph: normalized; graph: the same with its biases corrected, if they are to be. Both stay as they are.
        source: the model that they come from.
        batches: preprocessed images, float32 [N, C, H, W]; more than one a batch.

    Raises:
        OnnxqError: the images do not fit the model, or there are none.
    """
    layers = [node.name for node in graph.nodes if node.op == "Conv" and node.name in set(plan.layers)]
    want = _moments(float_graph.copy(), source, layers, None, batches, provider, None)
    quantized = graph.copy()
    carry_out(quantized, plan)
    got = _moments(quantized, source, layers, want, batches, provider, progress)
    shared = _shared_weights(graph, layers)
    gains, offsets = {}, {}
    for name in layers:
        (mean, variance), (quantized_mean, quantized_variance) = want[name], got[name]
        ratio = np.sqrt(variance / np.maximum(quantized_variance, 1e-30))
        usable = (ratio <= LARGEST_GAIN) & (ratio >= 1 / LARGEST_GAIN) & (name not in shared)
        gains[name] = np.where(usable, ratio, 1.0)
        offsets[name] = mean - gains[name] * quantized_mean
    return Match(gains, offsets)


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
    """Mean and variance of each layer's output over all images, float64 [C]."""
    outputs = insert_moments(graph, layers, targets)
    session = make_session(to_model(graph, source), provider)
    sums = [(np.zeros(1), np.zeros(1)) for _ in layers]
    images = 0
    for batch in batches:
        if not len(batch):
            continue
        check_batch(session, batch, "the model")
        values = [value.astype(np.float64) for value in session.run(outputs, {image_input(session).name: batch})]
        if not all(np.isfinite(value).all() for value in values):
            raise OnnxqError(f"NaN or infinite activations on images {images} to {images + len(batch) - 1}")
        sums = [
            (first + mean * len(batch), second + (variance + mean * mean) * len(batch))
            for (first, second), mean, variance in zip(sums, values[::2], values[1::2], strict=True)
        ]
        images += len(batch)
        if progress:
            progress(len(batch))
    if images == 0:
        raise OnnxqError("no images to measure on")
    return {
        name: (first / images, np.maximum(second / images - (first / images) ** 2, 0))
        for name, (first, second) in zip(layers, sums, strict=True)
    }


def renormalized(plan: Plan, graph: gs.Graph, match: Match) -> Plan:
    """The plan with the gains in its weights."""
    weights = dict(plan.weights)
    for node in graph.nodes:
        gain = match.gains.get(node.name)
        if gain is not None and (gain != 1).any():
            weight = node.inputs[1]
            weights[weight.name] = _with_gain(weights[weight.name], weight.values, gain, plan.recipe)
    return dataclasses.replace(plan, weights=weights)


def _with_gain(coded: CodedWeight, weight: NDArray[np.float32], gain: FloatArray, recipe: Recipe) -> CodedWeight:
    if recipe.weights != "fixed-point":
        return scaled(coded, gain)
    larger = (weight * gain.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)  # steps are powers of two
    return code_weight(larger, float(coded.bits[0]), recipe, allocate=False)
