"""Bits for each layer, so that the file has a size, or the work a share: those of least effect. A refinement.

It comes before weights are rounded, and changes the widths that the recipe asks for.
"""

from __future__ import annotations

import glob
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
from onnxq.decide import decide
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
WIDTHS = range(2, 9)
FLOAT_BITS = 32
METADATA = 900  # bytes that the flow writes into the file, about
TRIES = 4  # of meeting a size
CLOSE = 0.995  # of the size, from below


@STEPS.register(BUDGET)
@dataclass(frozen=True)
class Budget(Refinement):
    """Choose a width for each layer.

    Layers that an override names with bits keep these; the first and the last are chosen like any other.

    Attributes:
        size: of the file in bytes. size_ratio: the same, as a share of the float file.
        bops_ratio: products times bits of weights times bits of activations, as a share of those in float32.
        sensitivity: a file of ``onnxq search --sensitivity``; None: measured on the images.
    """

    passes: ClassVar[int] = 1
    judged: ClassVar[bool] = False  # it is asked for, not a remedy

    size: float | None = None
    size_ratio: float | None = None
    bops_ratio: float | None = None
    sensitivity: str | None = None

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """Whether there is one limit, in its range."""
        found: list[str] = []
        asked = [name for name in ("size", "size_ratio", "bops_ratio") if getattr(self, name) is not None]
        if len(asked) != 1:
            found.append("a budget is one of `size`, `size_ratio` and `bops_ratio`")
        for name, most in (("size", 1e12), ("size_ratio", 1.0), ("bops_ratio", 1.0)):
            value = getattr(self, name)
            found += number(name, value, 1e-6, most) if value is not None else []
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
        widths = self._widths(draft)
        effects = [np.array([by_name[layer.name].effect(bits) for bits in widths]) for layer in layers]
        if self.bops_ratio is not None:
            products = [by_name[layer.name].products for layer in layers]
            chosen = _within_work(draft, layers, effects, widths, products, self.bops_ratio)
            drafts = with_widths(draft, dict(zip((layer.name for layer in layers), chosen, strict=True)))
        else:
            size = self.size or (self.size_ratio or 0) * size_of(draft.source)
            drafts = _within_size(draft, layers, effects, widths, int(size))
        return replace(drafts, notes=(*drafts.notes, _said(drafts, layers)))

    def _known(self, draft: Draft, images: Images, run: Run) -> Sensitivity:
        if self.sensitivity is None:
            return measured_sensitivity(draft, images, run)
        known = Sensitivity.load(self.sensitivity)
        if known.source != fingerprint(draft.source):
            raise OnnxqError(f"{self.sensitivity}: sensitivities of another model")
        return known

    @staticmethod
    def _widths(draft: Draft) -> list[float]:
        """Halves where the channels of a layer have bits of their own."""
        asked = draft.recipe.weights
        fractions = asked.allocation is not None and asked.allocation.gives_widths
        return [bits / 2 for bits in range(4, 17)] if fractions else [float(bits) for bits in WIDTHS]


def with_widths(draft: Draft, widths: dict[str, float]) -> Draft:
    """A draft that was decided anew, with these widths of weights by layer."""
    overrides = tuple(Override(glob.escape(name), weight_bits=bits) for name, bits in widths.items())
    draft = replace(draft, recipe=replace(draft.recipe, overrides=(*draft.recipe.overrides, *overrides)))
    network = draft.network
    points = draft.recipe.resolved_points.of(network)
    plan = decide(network.layers, points, draft.statistics, draft.recipe, network.stored)
    return replace(draft, plan=plan)


def file_size(draft: Draft) -> int:
    """Of the file that a draft would become, in bytes."""
    graph = draft.graph.copy()
    carry_out(graph, draft.plan)
    model = to_model(graph, draft.source)
    if draft.plan.target.standard_operators:
        compact(model)
    return model.ByteSize() + METADATA


def _within_size(
    draft: Draft, layers: Sequence[Layer], effects: Sequence[FloatArray], widths: Sequence[float], size: int
) -> Draft:
    bytes_at = [np.array([int(np.ceil(layer.weight.size * bits / 8)) for bits in widths]) for layer in layers]
    best: Draft | None = None
    room, closest = size - _overhead(draft, layers), 0
    for _ in range(TRIES):
        chosen = cheapest(effects, bytes_at, room)
        if chosen is None:
            break
        tried = with_widths(draft, {layer.name: widths[place] for layer, place in zip(layers, chosen, strict=True)})
        actual = file_size(tried)
        if closest < actual <= size:
            best, closest = tried, actual
        if CLOSE * size <= actual <= size:
            break
        room += size - actual
    if best is None:
        least = with_widths(draft, {layer.name: widths[0] for layer in layers})
        raise OnnxqError(
            f"no widths of 2 to 8 bits make a file of {size} bytes: with 2 throughout it has {file_size(least)}"
        )
    return best


def _overhead(draft: Draft, layers: Sequence[Layer]) -> int:
    """Bytes of a file beside the codes of these weights."""
    at = 4.0
    return file_size(with_widths(draft, {layer.name: at for layer in layers})) - int(
        sum(np.ceil(layer.weight.size * at / 8) for layer in layers)
    )


def _within_work(
    draft: Draft,
    layers: Sequence[Layer],
    effects: Sequence[FloatArray],
    widths: Sequence[float],
    products: Sequence[int],
    ratio: float,
) -> list[float]:
    read = [draft.recipe.activation_choice([layer]).bits for layer in layers]
    whole = sum(count * FLOAT_BITS * FLOAT_BITS for count in products)
    work = [
        np.array([int(np.ceil(count * bits * own)) for bits in widths])
        for count, own in zip(products, read, strict=True)
    ]
    chosen = cheapest(effects, work, int(ratio * whole))
    if chosen is None:
        least = sum(int(each.min()) for each in work) / whole
        raise OnnxqError(
            f"no widths of 2 to 8 bits have a share of {ratio:g} of the work: with 2 throughout it is {least:.4f}"
        )
    return [widths[place] for place in chosen]


def _said(draft: Draft, layers: Sequence[Layer]) -> str:
    bits = Counter(draft.recipe.weight_choice([layer]).bits for layer in layers)
    weights = sum(layer.weight.size for layer in layers)
    mean = sum(draft.recipe.weight_choice([layer]).bits * layer.weight.size for layer in layers) / max(weights, 1)
    listed = ", ".join(f"{width:g} ({count})" for width, count in sorted(bits.items()))
    return f"bits of weights by layer, and how many layers have them: {listed}; {mean:.2f} a weight"
