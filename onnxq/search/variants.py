"""Recipes to try, from one that was asked for. A part of ``search``; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxq.core.layers import Layer
from onnxq.recipe import Override, Recipe

HIGH = 8  # bits of layers that are not switched yet


@dataclass(frozen=True)
class Variant:
    """A recipe with the name that tables give it, and its widths, like W4A8; empty where layers differ."""

    name: str
    recipe: Recipe
    widths: str = ""


def widths(asked: Recipe, bits: Sequence[int]) -> list[Variant]:
    """Weights and activations at each width (the published ``-ep`` has 8, 7, 6, 5, 4).

    Activations that the recipe leaves in float stay so.
    """
    found = [_at(asked, width) for width in bits]
    return [Variant(each.widths, each, each.widths) for each in found]


def _at(asked: Recipe, width: int) -> Recipe:
    activations = asked.activations and replace(asked.activations, bits=width)
    return replace(asked, weights=replace(asked.weights, bits=width), activations=activations)


def progressive(asked: Recipe, layers: Sequence[Layer]) -> list[Variant]:
    """All layers at 8 bits, then one after another at the bits of the recipe, those switched before included.

    Args:
        layers: in the order in which they are switched; those that have 8 bits by the recipe, too, are passed over.
    """
    acts = HIGH if asked.activations is not None else None
    whole = asked.resolved()
    layers = [layer for layer in layers if not _is_high(whole, layer)]
    found = []
    for count in range(len(layers) + 1):
        later = tuple(Override(_pattern(layer.name), weight_bits=HIGH, act_bits=acts) for layer in layers[count:])
        name = f"+ {layers[count - 1].weight_name.removesuffix('.weight')}" if count else f"all at {HIGH} bits"
        found.append(Variant(name, replace(asked, overrides=(*asked.overrides, *later))))
    return found


def _is_high(whole: Recipe, layer: Layer) -> bool:
    choices = [whole.weight_choice([layer])]
    if whole.activations is not None:
        choices.append(whole.activation_choice([layer]))
    return all(choice.bits == HIGH for choice in choices)


def _pattern(name: str) -> str:
    """A shell pattern that matches this name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
