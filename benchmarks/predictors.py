"""Other ways to sensitivities, for ``budgets.py`` to compare.

Random output directions in the place of running each change: v (y^ - y) is <dW, d(v y) / dW> to first order, for v of
random signs, whose mean square is |y^ - y|^2 (Hutchinson). One pass back through the float network by torch for each
image and direction tells it of all layers at once.

Pairs of layers that follow each other, both at 2 bits: what they do together beyond what each does alone; at other
widths it goes with the square root of both effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from onnxq.core.feeds import Batch, Feed
from onnxq.core.sensitivity import Sensitivity
from onnxq.errors import OnnxqError
from onnxq.reconstruction.network import LearntLayer, TorchNetwork
from onnxq.refine.alone import Changed, effects_alone
from onnxq.refine.refinement import Draft, Run

DIRECTIONS = 4  # for each image


def effects_by_directions(
    draft: Draft, changes: Sequence[Sequence[Changed]], batches: Sequence[Batch], run: Run, done: Callable[[int], None]
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
    alone = [change for (change,) in changes]
    for change in alone:
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
                for place, (change, (by, added)) in enumerate(zip(alone, moved, strict=True)):
                    by_weight, by_bias = slopes[change.layer.name]
                    sums[place] += float((by_weight * by).sum() + (by_bias * added).sum()) ** 2 / DIRECTIONS
    spread = np.square(np.array(outputs) - np.mean(outputs, axis=0)).sum()
    return (sums / spread).tolist()


@dataclass
class Pairs:
    """Measures as ``effects_alone`` does, and beside that pairs of layers; ``predicted`` adds what pairs do.

    Attributes:
        together: names of two layers -> what both at 2 bits do beyond the sum of what each does.
    """

    together: dict[tuple[str, str], float] = field(default_factory=dict)

    def __call__(
        self,
        draft: Draft,
        changes: Sequence[Sequence[Changed]],
        batches: Sequence[Batch],
        run: Run,
        done: Callable[[int], None],
    ) -> list[float]:
        effects = effects_alone(draft, changes, batches, run, done)
        narrowest: dict[str, tuple[Changed, float]] = {}
        for (change,), effect in zip(changes, effects, strict=True):
            narrowest.setdefault(change.layer.name, (change, effect))  # 2 bits come first
        pairs = list(pairwise(narrowest))
        both = effects_alone(draft, [[narrowest[one][0], narrowest[two][0]] for one, two in pairs], batches, run)
        for (one, two), effect in zip(pairs, both, strict=True):
            self.together[one, two] = effect - narrowest[one][1] - narrowest[two][1]
        return effects

    def predicted(self, known: Sensitivity, widths: Mapping[str, float]) -> float:
        """The effect of all layers with what pairs add."""
        layers = {layer.name: layer for layer in known.layers}
        total = known.predicted(widths)
        for (one, two), more in self.together.items():
            shares = [layers[name].effect(widths[name]) / max(layers[name].effect(2), 1e-30) for name in (one, two)]
            total += more * float(np.sqrt(np.prod(shares)))
        return total
