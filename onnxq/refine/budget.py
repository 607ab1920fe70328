"""Bits for each layer, so that the file has a size, or the work a share: those of least effect. A refinement.

It comes before weights are rounded, and changes the widths that the recipe asks for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from onnxq.core.checks import number
from onnxq.core.sensitivity import Sensitivity
from onnxq.errors import OnnxqError
from onnxq.graph.compact import compact
from onnxq.graph.conversion import to_model
from onnxq.graph.model_files import fingerprint, size_of
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import BUDGET, STEPS
from onnxq.refine.choices import WIDTHS, Choices
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.refine.sensitivity import made_for, measured_sensitivity
from onnxq.refine.work import within_work
from onnxq.rewrite import carry_out

METADATA = 600  # bytes that the flow writes into the file beside the widths of layers, about
TRIES = 10  # of meeting a size
CLOSE = 0.995  # of the size, from below


@STEPS.register(BUDGET)
@dataclass(frozen=True)
class Budget(Refinement):
    """Choose a width for each layer.

    Layers that an override names with bits keep these (so do the ends, where it names them).

    Attributes:
        bits: mean of a weight, over all layers whose width is free. size: of the file in bytes. size_ratio: the same,
            as a share of the float file.
        bops_ratio: products times bits of weights times bits of what layers read, as a share of those in float32. The
            latter are chosen, too: 4 to those of the recipe.
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
            found.append("a budget is one of `size`, `size_ratio`, `bops_ratio`, and bits of a weight")
        for name, bounds in limits.items():
            value = getattr(self, name)
            found += number(f"{BUDGET}.{name}", value, *bounds) if value is not None else []
        if self.bops_ratio is not None and activations is None:
            found.append("`bops_ratio` counts bits of activations, which are in float")
        return found

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        if draft.plan.rounded_parameters is not None:
            raise OnnxqError("a budget does not go with fixed point, where biases have the bits of weights")
        if draft.plan.biases:
            raise OnnxqError("a budget comes before all other `steps`: what they did to biases would stay")
        known, notes = self._known(draft, images, run)
        choices = Choices.of(draft, known)
        if self.bops_ratio is not None:
            made = within_work(draft, choices, known, self.bops_ratio)
        elif self.bits is not None:
            within = choices.within(draft, choices.taking(choices.sizes), self.bits * sum(choices.sizes))
            made = within if within is not None else choices.at(draft, WIDTHS[0])  # nothing to spare
        else:
            made = _within_size(draft, choices, int(self.bytes_for(size_of(draft.source))))
        return replace(made, notes=(*made.notes, *notes, _said(made, choices)))

    def bytes_for(self, float_size: int) -> float:
        """The bytes that a file may have, whose float one has so many; infinite where it is another budget."""
        if self.size is not None:
            return self.size
        return self.size_ratio * float_size if self.size_ratio is not None else float("inf")

    def _known(self, draft: Draft, images: Images, run: Run) -> tuple[Sensitivity, list[str]]:
        """And notes about them."""
        if self.sensitivity is None:
            return measured_sensitivity(draft, images, run), []
        known = Sensitivity.load(self.sensitivity)
        if known.source != fingerprint(draft.source):
            raise OnnxqError(f"{self.sensitivity}: sensitivities of another model")
        notes, now = [], made_for(draft)
        if known.made_for != now:
            notes.append(f"the sensitivities are of {known.made_for}; this is {now}")
        if missing := {layer.name for layer in draft.layers} - {layer.name for layer in known.layers}:
            notes.append(f"{len(missing)} layers are not among the sensitivities, and keep their bits")
        return known, notes


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
    widths = sorted({int(bits) for own in choices.widths for bits in own})
    measured = [file_size(choices.at(draft, bits)) for bits in widths]
    smallest = min(measured)  # not always the narrowest: some kinds of files have types for 4 bits and not for 3
    taken = (np.array(measured) - smallest) / max(sum(choices.sizes), 1)  # bytes a weight, beyond those
    taking = [
        np.ceil(weights * np.interp(own, widths, taken)).astype(np.int64)
        for weights, own in zip(choices.sizes, choices.widths, strict=True)
    ]
    least = widths[int(np.argmin(measured))]
    best: Draft | None = choices.at(draft, least) if smallest <= size else None
    room, closest = size - smallest, smallest
    for _ in range(TRIES):
        tried = choices.within(draft, taking, room)
        if tried is None:
            break
        actual = file_size(tried)
        if closest < actual <= size:
            best, closest = tried, actual
        if CLOSE * size <= actual <= size:
            break
        if actual > size:  # by so much less than what this takes: there may be room that it does not use
            room = min(room, choices.takes(tried, taking))
        room += size - actual
    if best is None:
        raise OnnxqError(
            f"no widths make a file of {size} bytes: with {least} bits throughout it has {smallest}, give or take "
            "some hundreds"
        )
    return best


def _said(draft: Draft, choices: Choices) -> str:
    widths = [draft.recipe.weight_choice(group).bits for group in choices.groups]
    mean = float(np.average(widths, weights=choices.sizes))
    found = f"bits of weights by layer, and how many layers have them: {_listed(widths)}; {mean:.2f} a weight of these"
    if not any(override.act_bits is not None for override in draft.recipe.overrides):
        return found
    reads = [draft.recipe.activation_choice([layer]).bits for layer in draft.layers]
    return f"{found}; of what layers read: {_listed(reads)}"


def _listed(widths: Sequence[float]) -> str:
    return ", ".join(f"{width:g} ({count})" for width, count in sorted(Counter(widths).items()))
