"""Widths to choose from, and the draft of least effect within a capacity. A part of ``refine``, of ``budget``."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxq.allocation.across_layers import cheapest
from onnxq.core.layers import Layer
from onnxq.core.sensitivity import Sensitivity
from onnxq.decide.plan import quantized_weights
from onnxq.errors import OnnxqError
from onnxq.recipe import Override
from onnxq.recipe.override import LAST
from onnxq.refine.reads import params_at
from onnxq.refine.refinement import Draft
from onnxq.rewrite.integer_types import INT2_OPSET

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
WIDTHS = range(2, 9)


@dataclass(frozen=True)
class Choices:
    """What there is to choose from.

    Attributes:
        groups: layers that share a weight, whose width is free. widths: that each weight may have. effects: of these.
    """

    groups: Sequence[Sequence[Layer]]
    widths: Sequence[list[float]]
    effects: Sequence[FloatArray]

    @staticmethod
    def of(draft: Draft, known: Sensitivity) -> Choices:
        """Of all weights whose layers are known, and none of whose layers an override names with bits.

        Raises:
            OnnxqError: there are none.
        """
        by_name = {layer.name: layer for layer in known.layers}
        wishes = [each for each in draft.recipe.overrides if each.weight_bits is not None and each.layers != LAST]
        groups: dict[str, list[Layer]] = {}
        for layer in draft.layers:
            groups.setdefault(layer.weight_name, []).append(layer)
        free = [
            group
            for group in groups.values()
            if all(layer.name in by_name and not any(wish.covers(layer) for wish in wishes) for layer in group)
        ]
        if not free:
            raise OnnxqError("there is no layer whose bits are free: `overrides` name them all, or another budget did")
        widths = [_widths(draft, group) for group in free]
        effects = [
            np.array([sum(by_name[layer.name].effect(bits) for layer in group) for bits in own])
            for group, own in zip(free, widths, strict=True)
        ]
        return Choices(free, widths, effects)

    @property
    def sizes(self) -> list[int]:
        """How many values each weight has."""
        return [int(group[0].weight.size) for group in self.groups]

    @property
    def layers(self) -> list[Layer]:
        """All."""
        return [layer for group in self.groups for layer in group]

    def taking(self, costs: Sequence[float]) -> list[IntArray]:
        """What each width takes of a capacity, of weights that take ``costs`` a bit."""
        pairs = zip(costs, self.widths, strict=True)
        return [np.array([int(np.ceil(cost * bits)) for bits in own]) for cost, own in pairs]

    def within(self, draft: Draft, taking: Sequence[IntArray], capacity: float) -> Draft | None:
        """The draft of least effect; None where nothing fits."""
        chosen = cheapest(self.effects, taking, int(capacity))
        return None if chosen is None else self._with(draft, chosen)

    def takes(self, draft: Draft, taking: Sequence[IntArray]) -> int:
        """What a draft takes of the capacity, whose widths are among these."""
        return sum(
            int(own[widths.index(draft.recipe.weight_choice(group).bits)])
            for group, widths, own in zip(self.groups, self.widths, taking, strict=True)
        )

    def at(self, draft: Draft, bits: int) -> Draft:
        """With this width throughout, or the nearest there is."""
        return self._with(draft, [int(np.abs(np.array(own) - bits).argmin()) for own in self.widths])

    def _with(self, draft: Draft, chosen: Sequence[int]) -> Draft:
        found = zip(self.groups, self.widths, chosen, strict=True)
        return with_widths(draft, {layer.name: own[place] for group, own, place in found for layer in group})


def _widths(draft: Draft, group: Sequence[Layer]) -> list[float]:
    """What the target holds, and computes exactly; halves where channels have bits of their own."""
    target, choice = draft.plan.target, draft.recipe.weight_choice(group)
    least = 3 if target.standard_operators and draft.graph.opset < INT2_OPSET else WIDTHS[0]  # they have no type
    whole = [bits for bits in WIDTHS if least <= bits <= choice.most_bits]
    if target.weight_bits is not None:
        whole = [bits for bits in whole if bits in target.weight_bits]
    if len(whole) < 2:
        raise OnnxqError("there is nothing to choose: this target has weights of one width")
    if not choice.allocation.gives_widths:
        return [float(bits) for bits in whole]
    return [bits / 2 for bits in range(2 * whole[0], 2 * whole[-1] + 1)]


def with_widths(draft: Draft, widths: Mapping[str, float], reads: Mapping[str, float] | None = None) -> Draft:
    """A draft with these widths of weights by layer, and of what layers read by tensor; others stay as they are."""
    reads, overrides = reads or {}, list(draft.recipe.overrides)
    for layer in draft.layers:
        bits, read = widths.get(layer.name), reads.get(layer.input)
        if bits is not None or read is not None:
            overrides.append(Override(glob.escape(layer.name), weight_bits=bits, act_bits=read))
    draft = replace(draft, recipe=replace(draft.recipe, overrides=tuple(overrides)))
    changed = [layer for layer in draft.layers if layer.name in widths]
    weights = {**draft.plan.weights, **quantized_weights(changed, draft.recipe)}
    made = {name: params_at(draft, draft.plan.points[name]) for name in reads}
    for name, point in draft.plan.points.items():
        if point.shares is not None and point.shares in reads:
            made[name] = made[point.shares]
    activations = {**draft.plan.activations, **made}
    return replace(draft, plan=replace(draft.plan, weights=weights, activations=activations))
