"""Bits of weights and of what layers read, so that the work has a share of that in float. A part of ``refine``, of
``budget``.

Work is products times bits of both factors. Layers that read the same tensor, or share a weight, are chosen for
together: all pairs of widths that no other pair beats are one choice of the knapsack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from onnxq.allocation.across_layers import Options, any_of, cheapest
from onnxq.core.layers import Layer
from onnxq.core.sensitivity import LayerSensitivity, Sensitivity
from onnxq.errors import OnnxqError
from onnxq.refine.choices import Choices, with_widths
from onnxq.refine.reads import free_reads, point_of
from onnxq.refine.refinement import Draft

FLOAT_BITS = 32
MOST_TENSORS = 3  # whose widths are chosen each by itself where they are chosen together; of more all have the same


@dataclass(frozen=True)
class _Part:
    """What is chosen together.

    Attributes:
        groups: places in ``Choices.groups``. tensors: whose widths are free, with the layers that read them.
        widths: of each of these.
    """

    groups: tuple[int, ...]
    tensors: tuple[str, ...]
    widths: tuple[tuple[int, ...], ...]

    def reads(self) -> Iterator[tuple[int, ...]]:
        """Widths of all tensors."""
        if len(self.tensors) <= MOST_TENSORS:
            return product(*self.widths)
        return ((bits,) * len(self.tensors) for bits in sorted(set.intersection(*map(set, self.widths))))


def within_work(draft: Draft, choices: Choices, known: Sensitivity, ratio: float) -> Draft:
    """The draft of least effect whose layers do so large a share of the work of their products in float32.

    Layers whose bits are not free take what they take.

    Raises:
        OnnxqError: the narrowest widths take more.
    """
    by_name = {layer.name: layer for layer in known.layers}
    counted = [layer for layer in draft.layers if layer.name in by_name]
    whole = sum(by_name[layer.name].products for layer in counted) * FLOAT_BITS * FLOAT_BITS
    parts = _parts(draft, choices, by_name)
    options = [_options(draft, choices, part, by_name) for part in parts]
    chosen_for = {layer.name for part in parts for place in part.groups for layer in choices.groups[place]}
    tensors = {tensor for part in parts for tensor in part.tensors}
    bound = sum(
        by_name[layer.name].products * _usual_read(draft, layer) * draft.recipe.weight_choice([layer]).bits
        for layer in counted
        if layer.name not in chosen_for and layer.input not in tensors
    )
    picked = cheapest([each.effects for each in options], [each.costs for each in options], int(ratio * whole - bound))
    if picked is None:
        least = (sum(int(each.costs.min()) for each in options) + bound) / max(whole, 1)
        raise OnnxqError(f"no widths have a share of {ratio:g} of the work: the least is {least:.4f}")
    weights: dict[str, float] = {}
    reads: dict[str, float] = {}
    for part, own, place in zip(parts, options, picked, strict=True):
        picks = own.picks[place].tolist()
        reads |= dict(zip(part.tensors, picks, strict=False))
        for group, pick in zip(part.groups, picks[len(part.tensors) :], strict=True):
            weights |= {layer.name: choices.widths[group][pick] for layer in choices.groups[group]}
    return with_widths(draft, weights, reads)


def _usual_read(draft: Draft, layer: Layer) -> float:
    return draft.recipe.activation_choice([layer]).bits


def _parts(draft: Draft, choices: Choices, by_name: Mapping[str, LayerSensitivity]) -> list[_Part]:
    """Layers that share a tensor or a weight are in one part."""
    free = {}  # tensor -> widths
    for layer in draft.layers:
        point = point_of(draft.plan, layer)
        if point is not None and all(name in by_name and by_name[name].reads for name in point.layers):
            widths = [bits for bits in free_reads(draft, point) if all(bits in by_name[n].reads for n in point.layers)]
            if len(widths) > 1:
                free[point.tensor] = tuple(widths)
    members: list[tuple[set[int], set[str]]] = []
    for place, group in enumerate(choices.groups):
        groups, tensors = {place}, {layer.input for layer in group if layer.input in free}
        for other in [each for each in members if each[1] & tensors]:
            members.remove(other)
            groups, tensors = groups | other[0], tensors | other[1]
        members.append((groups, tensors))
    read = {tensor for _, tensors in members for tensor in tensors}
    alone: list[tuple[set[int], set[str]]] = [(set(), {tensor}) for tensor in free if tensor not in read]
    found = []
    for groups, tensors in (*members, *alone):
        names = tuple(tensor for tensor in free if tensor in tensors)
        found.append(_Part(tuple(sorted(groups)), names, tuple(free[name] for name in names)))
    return found


def _options(draft: Draft, choices: Choices, part: _Part, by_name: Mapping[str, LayerSensitivity]) -> Options:
    """Picks are the widths of tensors, then the places of the widths of weights."""
    return any_of([_at(draft, choices, part, by_name, widths) for widths in part.reads()])


def _at(
    draft: Draft, choices: Choices, part: _Part, by_name: Mapping[str, LayerSensitivity], widths: Sequence[int]
) -> Options:
    """With these widths of tensors."""
    bits = dict(zip(part.tensors, widths, strict=True))
    inside = {layer.name for place in part.groups for layer in choices.groups[place]}
    effect, cost = 0.0, 0.0
    for layer in draft.layers:
        if layer.input in bits:
            effect += by_name[layer.name].reads[bits[layer.input]]
            if layer.name not in inside:
                weight = draft.recipe.weight_choice([layer]).bits
                cost += by_name[layer.name].products * bits[layer.input] * weight
    found = Options(np.array([int(np.ceil(cost))]), np.array([effect]), np.array([widths], np.int64).reshape(1, -1))
    for place in part.groups:
        costs = sum(
            by_name[layer.name].products * bits.get(layer.input, _usual_read(draft, layer))
            for layer in choices.groups[place]
        )
        own = Options.of(
            [int(np.ceil(costs * width)) for width in choices.widths[place]], choices.effects[place].tolist()
        )
        found = found.with_each(own)
    return found
