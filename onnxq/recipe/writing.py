"""Recipes as mappings of plain values, as YAML and JSON hold them. A part of ``recipe``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from onnxq.allocation import ALLOCATIONS
from onnxq.clipping import CLIPPINGS
from onnxq.core.granularity import Granularity
from onnxq.core.registry import Registry
from onnxq.errors import OnnxqError
from onnxq.formats import FORMATS
from onnxq.recipe.corrections import CORRECTIONS
from onnxq.recipe.override import Override
from onnxq.recipe.parts import Activations, Weights
from onnxq.recipe.points import POINTS
from onnxq.recipe.rounding import ROUNDINGS
from onnxq.recipe.steps import STEPS
from onnxq.recipe.targets import TARGETS

Part = TypeVar("Part")
CHOICES: dict[str, Registry[Any]] = {
    "format": FORMATS,
    "weight_format": FORMATS,
    "act_format": FORMATS,
    "allocation": ALLOCATIONS,
    "correction": CORRECTIONS,
    "clipping": CLIPPINGS,
    "points": POINTS,
    "target": TARGETS,
    "rounding": ROUNDINGS,
}


def written(part: object) -> Any:
    """What ``read`` reads: a mapping of the fields that differ from their defaults."""
    content = {}
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if value != _default(field):
            content[field.name] = _written_value(field.name, value)
    return content


def read(cls: type[Part], content: object) -> Part:
    """A recipe, or a part of one, from a mapping.

    Raises:
        OnnxqError: there is no such field, or a value is not what it should be.
    """
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    if not isinstance(content, Mapping):
        raise OnnxqError(f"{cls.__name__.lower()}: {content!r} is not a list of fields")
    if cls is Override and "bits" in content:  # of both
        content = {"weight_bits": content["bits"], "act_bits": content["bits"], **content}
        content = {name: value for name, value in content.items() if name != "bits"}
    if unknown := [str(name) for name in content if name not in known]:
        raise OnnxqError(f"{', '.join(unknown)}; the fields of {cls.__name__.lower()} are {', '.join(sorted(known))}")
    try:
        return cls(**{name: _read_value(name, value) for name, value in content.items()})
    except TypeError as error:
        raise OnnxqError(f"{cls.__name__.lower()}: {error}") from error


def split(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The composed fields of a recipe's mapping, and those in flat names.

    ``weights``, ``target`` and ``rounding`` are words of both: ``weights`` is composed where it is a mapping, the
    others where anything is.
    """
    is_composed = {"activations", "points", "steps", "overrides", "metrics"} & set(content)
    names = set(is_composed)
    if isinstance(content.get("weights"), (Mapping, Weights)) and not _is_choice(content["weights"]):
        names.add("weights")
    if names:
        names |= {"target", "rounding"} & set(content)
    composed = {name: value for name, value in content.items() if name in names}
    return composed, {name: value for name, value in content.items() if name not in names}


def _is_choice(value: object) -> bool:
    """Whether ``weights`` is a format with parameters, rather than a part of a recipe."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in FORMATS.names()


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _written_value(name: str, value: Any) -> Any:
    if name in CHOICES:
        return CHOICES[name].written(value) if value is not None else None
    if name == "steps":
        return [STEPS.written(step) for step in value]
    if name == "overrides":
        return [written(override) for override in value]
    if isinstance(value, (Weights, Activations)):
        return written(value)
    return list(value) if isinstance(value, tuple) else value


def _read_value(name: str, value: Any) -> Any:
    if name in CHOICES:
        return None if value is None else CHOICES[name].parse(value)
    readers: dict[str, Callable[[Any], Any]] = {
        "granularity": lambda name: None if name is None else Granularity.parse(name),
        "weights": lambda content: content if isinstance(content, Weights) else read(Weights, content),
        "activations": lambda content: (
            content if content is None or isinstance(content, Activations) else read(Activations, content)
        ),
        "steps": lambda names: tuple(STEPS.parse(entry) for entry in _list("steps", names)),
        "overrides": lambda entries: tuple(
            entry if isinstance(entry, Override) else read(Override, entry) for entry in _list("overrides", entries)
        ),
        "metrics": lambda names: tuple(_list("metrics", names)),
    }
    return readers[name](value) if name in readers else value


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise OnnxqError(f"`{name}` must be a list, not {value!r}")
    return list(value)
