"""Bits for each layer, so that the file has a size, or the work a share: those of least effect. A refinement.

It comes before weights are rounded, and changes the widths that the recipe asks for.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.allocation.across_layers import cheapest
from onnxq.core.checks import number
from onnxq.core.layers import Layer
from onnxq.core.sensitivity import Sensitivity
from onnxq.decide.plan import quantized_weights
from onnxq.errors import OnnxqError
from onnxq.graph.compact import compact
from onnxq.graph.conversion import to_model
from onnxq.graph.model_files import fingerprint, size_of
from onnxq.recipe import Override
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import BUDGET, STEPS
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.refine.sensitivity import free_layers, measured_sensitivity
from onnxq.rewrite import carry_out

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
WIDTHS = range(2, 9)
FLOAT_BITS = 32
METADATA = 600  # bytes that the flow writes into the file beside the widths of layers, about
TRIES = 4  # of meeting a size
CLOSE = 0.995  # of the size, from below


@dataclass(frozen=True)
class Choices:
    """What there is to choose from.

    Attributes:
        layers: whose widths are free. widths: that each may have. effects: of each of these.
    """

    layers: Sequence[Layer]
    widths: Sequence[Sequence[float]]
    effects: Sequence[FloatArray]

    def taking(self, costs: Sequence[float]) -> list[IntArray]:
        """What each width takes of a capacity, of layers that take ``costs`` a bit."""
        pairs = zip(costs, self.widths, strict=True)
        return [np.array([int(np.ceil(cost * bits)) for bits in own]) for cost, own in pairs]

    def within(self, draft: Draft, taking: Sequence[IntArray], capacity: float) -> Draft | None:
        """The draft of least effect; None where nothing fits."""
        chosen = cheapest(self.effects, taking, int(capacity))
        if chosen is None:
            return None
        found = zip(self.layers, self.widths, chosen, strict=True)
        return with_widths(draft, {layer.name: own[place] for layer, own, place in found})

    def least(self, draft: Draft) -> Draft:
        """With the smallest width throughout."""
        return with_widths(draft, {layer.name: float(WIDTHS[0]) for layer in self.layers})


@STEPS.register(BUDGET)
@dataclass(frozen=True)
class Budget(Refinement):
    """Choose a width for each layer.

    Layers that an override names with bits keep these; the first and the last are chosen like any other.

    Attributes:
        bits: mean of a weight, over all layers whose width is free. size: of the file in bytes. size_ratio: the same,
            as a share of the float file.
        bops_ratio: products times bits of weights times bits of activations, as a share of those in float32.
        sensitivity: a file of ``onnxq search --sensitivity``; None: measured on the images.
    """

    passes: ClassVar[int] = 1
    judged: ClassVar[bool] = False  # it is asked for, not a remedy

    bits: float | None = None
    size: float | None = None
    size_ratio: float | None = None
    bops_ratio: float | None = None
    sensitivity: str | None = None

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """Whether there is one limit, in its range."""
        found: list[str] = []
        limits = {"bits": (2, 8), "size": (1, 1e12), "size_ratio": (1e-6, 1), "bops_ratio": (1e-6, 1)}
        if sum(getattr(self, name) is not None for name in limits) != 1:
            found.append("a budget is one of `size`, `size_ratio`, `bops_ratio`, and `bits` of a weight")
        for name, bounds in limits.items():
            value = getattr(self, name)
            found += number(f"{BUDGET}.{name}", value, *bounds) if value is not None else []
        if self.bops_ratio is not None and activations is None:
            found.append("`bops_ratio` counts bits of activations, which are in float")
        return found

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        if draft.plan.rounded_parameters is not None:
            raise OnnxqError(
                "`size` and `bops_ratio` do not go with fixed point, whose biases have the bits of weights"
            )
        known = self._known(draft, images, run)
        by_name = {layer.name: layer for layer in known.layers}
        layers = [layer for layer in free_layers(draft) if layer.name in by_name]
        widths = [_widths(draft, layer) for layer in layers]
        effects = [
            np.array([by_name[layer.name].effect(bits) for bits in own])
            for layer, own in zip(layers, widths, strict=True)
        ]
        choices = Choices(layers, widths, effects)
        if self.bops_ratio is not None:
            products = [by_name[layer.name].products for layer in layers]
            made = _within_work(draft, choices, products, self.bops_ratio)
        elif self.bits is not None:
            made = _within_bits(draft, choices, self.bits)
        else:
            size = self.size or (self.size_ratio or 0) * size_of(draft.source)
            made = _within_size(draft, choices, int(size))
        return replace(made, notes=(*made.notes, _said(made, layers)))

    def _known(self, draft: Draft, images: Images, run: Run) -> Sensitivity:
        if self.sensitivity is None:
            return measured_sensitivity(draft, images, run)
        known = Sensitivity.load(self.sensitivity)
        if known.source != fingerprint(draft.source):
            raise OnnxqError(f"{self.sensitivity}: sensitivities of another model")
        return known


def _widths(draft: Draft, layer: Layer) -> list[float]:
    """That a layer may have: halves where its channels have bits of their own."""
    fractions = draft.recipe.weight_choice([layer]).allocation.gives_widths
    return [bits / 2 for bits in range(4, 17)] if fractions else [float(bits) for bits in WIDTHS]


def with_widths(draft: Draft, widths: dict[str, float]) -> Draft:
    """A draft with these widths of weights by layer; activations stay as they are."""
    overrides = tuple(Override(glob.escape(name), weight_bits=bits) for name, bits in widths.items())
    draft = replace(draft, recipe=replace(draft.recipe, overrides=(*draft.recipe.overrides, *overrides)))
    changed = [layer for layer in draft.layers if layer.name in widths]
    weights = {**draft.plan.weights, **quantized_weights(changed, draft.recipe)}
    return replace(draft, plan=replace(draft.plan, weights=weights))


def file_size(draft: Draft) -> int:
    """Of the file that a draft would become, in bytes; every layer has a bias, as rounding gives it one."""
    biases = {layer.name: draft.bias(layer) for layer in draft.layers if not layer.computed_bias}
    graph = draft.graph.copy()
    carry_out(graph, replace(draft.plan, biases=biases))
    model = to_model(graph, draft.source)
    if draft.plan.target.standard_operators:
        compact(model)
    return model.ByteSize() + METADATA + len(json.dumps(draft.recipe.to_dict().get("overrides", [])))


def _within_size(draft: Draft, choices: Choices, size: int) -> Draft:
    """What a width takes in this kind of file is measured: not all have types of their own."""
    weights = sum(layer.weight.size for layer in choices.layers)
    measured = [file_size(with_widths(draft, {layer.name: bits for layer in choices.layers})) for bits in WIDTHS]
    smallest, taken = measured[0], (np.array(measured) - measured[0]) / max(weights, 1)  # bytes a weight, beyond 2 bits
    taking = [
        np.ceil(layer.weight.size * np.interp(own, WIDTHS, taken)).astype(np.int64)
        for layer, own in zip(choices.layers, choices.widths, strict=True)
    ]
    best: Draft | None = None
    room, closest = size - smallest, 0
    for _ in range(TRIES):
        tried = choices.within(draft, taking, room)
        if tried is None:
            break
        actual = file_size(tried)
        if closest < actual <= size:
            best, closest = tried, actual
        if CLOSE * size <= actual <= size:
            break
        room += size - actual
    if best is None:
        raise OnnxqError(f"no widths make a file of {size} bytes: with 2 bits throughout it has {smallest}")
    return best


def _within_bits(draft: Draft, choices: Choices, bits: float) -> Draft:
    sizes = [layer.weight.size for layer in choices.layers]
    made = choices.within(draft, choices.taking(sizes), bits * sum(sizes))
    return made if made is not None else choices.least(draft)  # 2 bits and nothing to spare


def _within_work(draft: Draft, choices: Choices, products: Sequence[int], ratio: float) -> Draft:
    read = [draft.recipe.activation_choice([layer]).bits for layer in choices.layers]
    whole = sum(count * FLOAT_BITS * FLOAT_BITS for count in products)
    taking = choices.taking([count * own for count, own in zip(products, read, strict=True)])
    made = choices.within(draft, taking, ratio * whole)
    if made is None:
        least = sum(int(each.min()) for each in taking) / whole
        raise OnnxqError(f"no widths have a share of {ratio:g} of the work: with 2 bits throughout it is {least:.4f}")
    return made


def _said(draft: Draft, layers: Sequence[Layer]) -> str:
    bits = Counter(draft.recipe.weight_choice([layer]).bits for layer in layers)
    weights = sum(layer.weight.size for layer in layers)
    mean = sum(draft.recipe.weight_choice([layer]).bits * layer.weight.size for layer in layers) / max(weights, 1)
    listed = ", ".join(f"{width:g} ({count})" for width, count in sorted(bits.items()))
    return f"bits of weights by layer, and how many layers have them: {listed}; {mean:.2f} a weight"
