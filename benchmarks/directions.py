"""What changes of layers do to a network's outputs by random output directions, in the place of running each change.

The other way to sensitivities, for ``budgets.py`` to compare: v (y^ - y) is <dW, d(v y) / dW> to first order, for v of
random signs, whose mean square is |y^ - y|^2 (Hutchinson). One pass back through the float network by torch for each
image and direction tells it of all layers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from onnxq.core.feeds import Batch, Feed
from onnxq.errors import OnnxqError
from onnxq.reconstruction.network import LearntLayer, TorchNetwork
from onnxq.refine.alone import Changed
from onnxq.refine.refinement import Draft, Run

DIRECTIONS = 4  # for each image


def effects_by_directions(
    draft: Draft, changes: Sequence[Changed], batches: Sequence[Batch], run: Run, done: Callable[[int], None]
) -> list[float]:
    """As ``onnxq.refine.alone.effects_alone``, of networks of one input and one output, to first order."""
    graph = draft.graph.copy().toposort()
    layers: dict[str, LearntLayer] = {}
    wanted: list[torch.Tensor] = []
    for layer in draft.layers:
        bias = layer.bias if layer.bias is not None else np.zeros(layer.channels, np.float32)
        weight = torch.from_numpy(layer.weight.copy()).requires_grad_()
        layers[layer.name] = LearntLayer(weight, torch.from_numpy(bias.copy()), 0)
        bias_of = layers[layer.name].bias
        assert bias_of is not None  # it was given one
        wanted += [weight, bias_of]
    network = TorchNetwork(graph, "cpu", layers)
    name = graph.outputs[0].name
    moved = []
    for change in changes:
        exact = change.layer.bias if change.layer.bias is not None else 0.0
        shift = np.zeros(change.layer.channels, np.float32) if change.bias is None else change.bias - exact
        moved.append((torch.from_numpy(change.weight - change.layer.weight), torch.from_numpy(np.float32(shift))))
    generator = torch.Generator().manual_seed(0)
    sums, outputs = np.zeros(len(changes)), []
    for batch in batches:
        if isinstance(batch, Feed):
            raise OnnxqError("directions are for networks of one input")
        for image in batch:
            made = network(torch.from_numpy(image[None].copy()), [name])[name]
            outputs.append(made.detach().numpy().ravel())
            for direction in range(DIRECTIONS):
                signs = torch.randint(0, 2, made.shape, generator=generator) * 2.0 - 1
                found = torch.autograd.grad((made * signs).sum(), wanted, retain_graph=direction < DIRECTIONS - 1)
                slopes = dict(zip(layers, zip(found[::2], found[1::2], strict=True), strict=True))
                for place, (change, (by, added)) in enumerate(zip(changes, moved, strict=True)):
                    by_weight, by_bias = slopes[change.layer.name]
                    sums[place] += float((by_weight * by).sum() + (by_bias * added).sum()) ** 2 / DIRECTIONS
    spread = np.square(np.array(outputs) - np.mean(outputs, axis=0)).sum()
    return (sums / spread).tolist()
