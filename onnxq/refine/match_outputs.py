"""Match what quantized convolutions make to the float network: mean and variance of every output channel.

A refinement. What re-estimating the statistics of batch norm does to a quantized network that still has it; here a gain
ends up in the scale of the stored weights, and the rest in the bias. Two passes over the images: one through the float
network, one through the quantized network with every convolution's output normalized, batch by batch, to what the first
pass saw, so that each layer is measured on inputs that are already matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.feeds import Batch, as_batch, joined
from onnxq.core.layers import Layer
from onnxq.core.plan import Plan
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import fixed_batch_size
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import STEPS
from onnxq.refine.insert_moments import Moments, insert_moments
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.rewrite import carry_out
from onnxq.runtime.batches import finite_outputs
from onnxq.runtime.graph_session import graph_session

FloatArray = NDArray[np.float64]

LARGEST_GAIN = 4.0  # a channel that lost more than this has lost its signal: amplifying what is left makes noise
FEWEST_VALUES = 64  # of a channel in a batch, to normalize by its mean and variance


@STEPS.register("match-outputs")
@dataclass(frozen=True)
class MatchOutputs(Refinement):
    """Multiply weights and bias of convolutions by gains, then add offsets.

    Left out are layers of which a batch shows fewer than 64 values a channel (they are normalized by what the batch
    shows), and those whose bias the graph computes. Layers that share a weight, and fixed-point weights, whose steps
    are powers of two, have gain 1.

    Attributes:
        batch_size: images whose mean and variance are matched together, whatever the size of the batches that are
            given. Small ones say little of a channel, and hurt some networks.
    """

    passes: ClassVar[int] = 2

    batch_size: int = 128

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """Whether the batch size is a positive whole number."""
        whole = isinstance(self.batch_size, int) and self.batch_size > 0
        return [] if whole else [f"`batch_size` must be a positive whole number, not {self.batch_size!r}"]

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        layers, notes = _matchable(draft)
        size = fixed_batch_size(draft.source)
        if size is not None and size < self.batch_size:
            notes.append(
                f"outputs were matched on batches of {size}, which the model fixes; {self.batch_size} match better"
            )
        even = _EvenBatches(images, size or self.batch_size)
        names = [layer.name for layer in layers]
        want = _moments(draft.graph.copy(), draft.source, names, None, even, run)
        few = [name for name in names if want[name].count < FEWEST_VALUES]
        notes += [
            f"layer {name}: {want[name].count} values a channel in a batch are too few to renormalize by; "
            "the step takes larger batches as its parameter batch_size"
            for name in few
        ]
        names = [name for name in names if name not in few]
        quantized = draft.graph.copy()
        carry_out(quantized, draft.plan)
        got = _moments(quantized, draft.source, names, want, even, run)
        fixed = _of_fixed_gain(draft)
        gains, offsets = {}, {}
        for name in names:
            ratio = np.sqrt(want[name].variance / np.maximum(got[name].variance, 1e-30))
            usable = (ratio <= LARGEST_GAIN) & (ratio >= 1 / LARGEST_GAIN) & (name not in fixed)
            gains[name] = np.where(usable, ratio, 1.0)
            offsets[name] = want[name].mean - gains[name] * got[name].mean
        scaled = replace(draft, plan=_with_gains(draft.plan, layers, gains), notes=(*draft.notes, *notes))
        return scaled.with_biases(offsets, gains)


@dataclass(frozen=True)
class _EvenBatches:
    """Batches of one size, joined and cut from those given; what is left at the end is not used, unless it is all."""

    images: Images
    size: int

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[Batch] = []
        yielded = False
        for batch in self.images:
            waiting.append(as_batch(batch))
            while sum(map(len, waiting)) >= self.size:
                together = joined(waiting)
                yield together[: self.size]
                waiting, yielded = [together[self.size :]], True
        rest = [batch for batch in waiting if len(batch)]
        if rest and not yielded:
            yield joined(rest)


def _matchable(draft: Draft) -> tuple[list[Layer], list[str]]:
    """Convolutions with a constant bias or none, and a note for each of the others."""
    layers, notes = [], []
    for layer in draft.layers:
        if layer.op == "Conv" and layer.computed_bias:
            notes.append(f"layer {layer.name}: its bias is computed by the graph and was not renormalized")
        elif layer.op == "Conv":
            layers.append(layer)
    return layers, notes


def _of_fixed_gain(draft: Draft) -> set[str]:
    """Layers that cannot have a gain of their own: another one has their weight, or its steps are powers of two."""
    if draft.plan.rounded_parameters is not None:
        return set(draft.plan.layers)
    users: dict[str, list[str]] = {}
    for layer in draft.layers:
        users.setdefault(layer.weight_name, []).append(layer.name)
    return {name for names in users.values() if len(names) > 1 for name in names}


def _with_gains(plan: Plan, layers: Sequence[Layer], gains: Mapping[str, FloatArray]) -> Plan:
    """The plan with the gains in its weights."""
    weights = dict(plan.weights)
    for layer in layers:
        gain = gains.get(layer.name)
        if gain is not None and (gain != 1).any():
            weights[layer.weight_name] = weights[layer.weight_name].scaled(gain)
    return replace(plan, weights=weights)


def _moments(
    graph: gs.Graph,
    source: onnx.ModelProto,
    layers: Sequence[str],
    targets: Mapping[str, Moments] | None,
    images: Images,
    run: Run,
) -> dict[str, Moments]:
    """Of each layer's output over all images."""
    if not layers:
        return {}
    outputs = insert_moments(graph, layers, targets)
    session = graph_session(graph, source, run.provider)
    means = [np.zeros(1) for _ in layers]
    squares = [np.zeros(1) for _ in layers]
    counts = [0 for _ in layers]
    batches = 0
    for _, values in finite_outputs(session, outputs, images, run.progress):
        batches += 1
        for index, (mean, variance, number) in enumerate(zip(values[::3], values[1::3], values[2::3], strict=True)):
            means[index] = means[index] + mean.astype(np.float64)
            squares[index] = squares[index] + variance.astype(np.float64) + mean.astype(np.float64) ** 2
            counts[index] = int(number)
    if batches == 0:
        raise OnnxqError("no images to match outputs on")
    result = {}
    for name, total, square, count in zip(layers, means, squares, counts, strict=True):
        mean = total / batches
        result[name] = Moments(mean, np.maximum(square / batches - mean * mean, 0), count)
    return result
