"""A recipe with the published ACIQ system's arithmetic in the place of onnxq's.

A part of ``recipe``, called by ``flat``.
"""

from __future__ import annotations

from dataclasses import replace

from onnxq.clipping import Clipping
from onnxq.recipe.parts import Activations, Weights
from onnxq.recipe.recipe import Recipe
from onnxq.recipe.rounding import Nearest


def as_published(recipe: Recipe) -> Recipe:
    """Every choice replaced by its published variant, where there is one."""
    whole = recipe.resolved()
    activations = recipe.activations
    if activations is not None and whole.activations is not None:
        activations = _activations(activations, whole.activations)
    rounding = recipe.rounding or Nearest()
    return replace(recipe, weights=_weights(recipe.weights, whole.weights), activations=activations, rounding=rounding)


def _weights(written: Weights, whole: Weights) -> Weights:
    assert whole.format is not None and whole.allocation is not None
    form = written.format.published() if written.format is not None else None
    allocates = whole.allocation.gives_widths
    return replace(written, format=form, allocation=whole.allocation.published() if allocates else written.allocation)


def _activations(written: Activations, whole: Activations) -> Activations:
    assert whole.format is not None and whole.allocation is not None and whole.clipping is not None
    rule: Clipping | None = whole.clipping.published(whole.bits) if whole.format.takes_rule else written.clipping
    form = written.format.published() if written.format is not None else None
    allocates = whole.allocation.gives_widths
    return replace(
        written,
        format=form,
        clipping=rule,
        allocation=whole.allocation.published() if allocates else written.allocation,
    )
