"""Recipes as YAML files: the fields of ``onnxq.Recipe``, and a comment that says what they are for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from onnxq.errors import OnnxqError
from onnxq.recipe import Recipe

FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """The recipes that come with onnxq."""
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))


def recipe_text(name: str) -> str:
    """The file of a recipe: one that comes with onnxq, or a path.

    Raises:
        OnnxqError: there is no such recipe.
    """
    bundled = name in recipe_names()
    path = FOLDER / f"{name}.yaml" if bundled else Path(name)
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"no recipe {name}: neither a file nor one of those that `onnxq recipes` lists") from error


def recipe_fields(name: str) -> dict[str, Any]:
    """The fields that a recipe sets.

    Raises:
        OnnxqError: there is no such recipe, it is not YAML, or it has a field that ``Recipe`` does not.
    """
    fields = _parse(recipe_text(name), f"recipe {name}")
    known = {field.name for field in dataclasses.fields(Recipe)}
    if not isinstance(fields, dict) or (unknown := set(fields) - known):
        wrong = ", ".join(sorted(map(str, unknown))) if isinstance(fields, dict) else "not a list of fields"
        raise OnnxqError(f"recipe {name}: {wrong}; the fields are {', '.join(sorted(known))}")
    return fields


def load_yaml(path: str) -> Any:
    """What a YAML file holds.

    Raises:
        OnnxqError: it cannot be read, or is not YAML.
    """
    try:
        return _parse(Path(path).read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"{path}: cannot be read ({error})") from error


def _parse(text: str, what: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OnnxqError(f"{what} is not YAML: {str(error).splitlines()[0]}") from error


def load_recipe(name: str, **overrides: Any) -> Recipe:
    """A recipe that comes with onnxq, or that of a file, with some fields replaced.

    Raises:
        OnnxqError: there is no such recipe, or its fields are not in order.
    """
    try:
        return Recipe(**{**recipe_fields(name), **overrides})
    except TypeError as error:
        raise OnnxqError(f"recipe {name}: {error}") from error
