"""Flat names for what a recipe is composed of: those of the command line, and of short YAML files.

A part of ``recipe``, called by ``Recipe.of``, ``Recipe.from_dict`` and the command line.
Nothing behind this module knows the flat names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from onnxq.clipping import CLIPPINGS
from onnxq.core.checks import boolean
from onnxq.core.granularity import Granularity
from onnxq.errors import OnnxqError
from onnxq.formats import FORMATS
from onnxq.recipe.corrections import CORRECTIONS
from onnxq.recipe.flat_parts import CORRECTED, KNOWN, LIMITS, Parts
from onnxq.recipe.points import POINTS
from onnxq.recipe.published import as_published
from onnxq.recipe.recipe import Recipe
from onnxq.recipe.rounding import ROUNDINGS
from onnxq.recipe.targets import TARGETS

GRANULARITIES = tuple(str(granularity) for granularity in Granularity)
ALLOCATED = ("none", "weights", "activations", "both")
FILE_FORMATS = ("onnxq", "qdq")


def schemes() -> tuple[str, ...]:
    """What ``scheme`` can be: a clipping rule, or a format that is one of both weights and activations."""
    both = [name for name in FORMATS.names() if (form := FORMATS.parse(name)).of_activations and form.of_weights]
    hidden = {"affine", "symmetric", "signed"}
    return (*CLIPPINGS.names(), "histogram", *(name for name in both if name not in hidden))


def weight_formats() -> tuple[str, ...]:
    """What ``weights`` can be."""
    return ("uniform", *(name for name in FORMATS.names() if FORMATS.parse(name).of_weights))


OPTIONS: dict[str, Callable[[], tuple[str, ...]]] = {
    "scheme": schemes,
    "weights": weight_formats,
    "act_granularity": lambda: GRANULARITIES,
    "weight_granularity": lambda: GRANULARITIES,
    "bit_alloc": lambda: ALLOCATED,
    "weight_correction": CORRECTIONS.names,
    "bias_correction": lambda: tuple(CORRECTED),
    "placement": POINTS.names,
    "ranges": lambda: ("static", "dynamic"),
    "rounding": lambda: (*ROUNDINGS.names(), "half_even", "half_up", "floor"),
    "overflow": lambda: ("saturate", "wrap"),
    "format": lambda: FILE_FORMATS,
    "target": TARGETS.names,
}
OTHERS = (
    *("act_bits", "weight_bits", "edge_bits", "renormalize", "skip", "std_multiplier", "percentile", "moving_average"),
    *("symmetric", "alpha", "overflow_rate", "bit_true", "published", "reconstruct", "budget_seconds"),
    *("guard", KNOWN, *LIMITS),
)


def _name_in(value: Any) -> Any:
    """The name, of a choice that is written with parameters."""
    return next(iter(value)) if isinstance(value, Mapping) and len(value) == 1 else value


def with_options(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """A recipe with some of it replaced, by flat names.

    Args:
        options: None stands for what is not asked for, but for ``act_bits``: None leaves activations in float.

    Raises:
        OnnxqError: there is no such name, or values do not go together.
    """
    if unknown := [str(name) for name in options if name not in OPTIONS and name not in OTHERS]:
        known = ", ".join(sorted([*OPTIONS, *OTHERS]))
        raise OnnxqError(f"{', '.join(unknown)}; the fields are {known}")
    given = {name: value for name, value in options.items() if value is not None or name == "act_bits"}
    problems = [
        f"`{name}`: no {given[name]!r}; use one of {', '.join(choices())}"
        for name, choices in OPTIONS.items()
        if name in given and _name_in(given[name]) not in choices()
    ]
    for name in ("renormalize", "reconstruct", "moving_average", "symmetric", "bit_true", "published", "guard"):
        problems += boolean(name, given[name]) if name in given else []
    if "budget_seconds" in given and not given.get("reconstruct"):
        problems.append("`budget_seconds` goes with `reconstruct`")
    if problems:
        raise OnnxqError("; ".join(problems))
    if not given:
        return recipe
    changed = replace(recipe, **Parts(recipe, given).replaced())
    return as_published(changed) if given.get("published") else changed
