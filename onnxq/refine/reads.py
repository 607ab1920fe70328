"""Widths of what layers read: the error that each makes, and a draft that has them. A part of ``refine``."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from onnxq.core.layers import Layer
from onnxq.core.plan import Plan
from onnxq.core.points import QuantPoint
from onnxq.core.qparams import ActivationParams, StaticParams
from onnxq.decide.activations import channel_importance, quantize_activation
from onnxq.refine.refinement import Draft

READS = range(4, 9)  # bits to choose from


def point_of(plan: Plan, layer: Layer) -> QuantPoint | None:
    """Where the input of a layer is quantized, if its bits are those of layers that read it."""
    point = plan.points.get(layer.input)
    fits = point is not None and point.feeds_layers and layer.name in point.layers and not point.whole_bits
    return point if fits and point is not None and point.shares is None else None


def free_reads(draft: Draft, point: QuantPoint) -> list[int]:
    """Widths that a tensor can have, up to its own; none where they are not to be chosen."""
    layers = [layer for layer in draft.layers if layer.name in point.layers]
    choice, asked = draft.recipe.activation_choice(layers), draft.recipe.activations
    wishes = [each for each in draft.recipe.overrides if each.act_bits is not None]
    if asked is None or asked.dynamic or not choice.format.has_widths:
        return []
    if any(wish.covers(layer) for wish in wishes for layer in layers):
        return []
    can = draft.plan.target.act_bits
    return [bits for bits in READS if bits <= asked.bits and (can is None or bits in can)]


def params_at(draft: Draft, point: QuantPoint, bits: float | None = None) -> ActivationParams:
    """Of the tensor at a point, as the recipe of the draft has it; ``bits`` in the place of its own."""
    layers = [layer for layer in draft.layers if layer.name in point.layers]
    choice, asked = draft.recipe.activation_choice(layers), draft.recipe.activations
    assert draft.statistics is not None and asked is not None  # activations are quantized
    own = choice if bits is None else replace(choice, bits=bits)
    return quantize_activation(point, layers, draft.statistics, asked, own)


def read_errors(draft: Draft, layer: Layer) -> dict[int, float]:
    """Width -> E|W (x - x^)|^2, of a position of what a layer makes: by the statistics of its input, whose errors are
    taken as independent of each other."""
    point = point_of(draft.plan, layer)
    widths = free_reads(draft, point) if point is not None else []
    if point is None or draft.statistics is None or len(widths) < 2:
        return {}
    seen, found = draft.statistics.tensor(point.tensor), {}
    importance = channel_importance(layer)
    for bits in widths:
        params = cast(StaticParams, params_at(draft, point, bits))  # ``free_reads`` has no others
        error = params.expected_squared_error(seen.histogram, seen.anchor.astype(np.float64))
        each = error if error.size == importance.size else np.full(importance.shape, error.mean())  # no channels
        found[bits] = float(each @ importance)
    return found
