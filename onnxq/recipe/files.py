"""Recipes as YAML files: a comment that says what they are for, and fields. A part of ``recipe``.

Called by the command line and by whoever loads a recipe by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from onnxq.errors import OnnxqError
from onnxq.recipe import writing
from onnxq.recipe.flat import with_options
from onnxq.recipe.recipe import Recipe

FOLDER = Path(__file__).parent / "bundled"


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
        OnnxqError: there is no such recipe, or it is not YAML, or no list of fields.
    """
    fields = _parse(recipe_text(name), f"recipe {name}")
    if not isinstance(fields, dict):
        raise OnnxqError(f"recipe {name}: not a list of fields")
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


def load_recipe(name: str, **options: Any) -> Recipe:
    """A recipe that comes with onnxq, or that of a file, with some of it replaced, by flat names.

    Raises:
        OnnxqError: there is no such recipe, or its fields are not in order.
    """
    fields = recipe_fields(name)
    try:
        composed, _ = writing.split(fields)
        if composed:
            return with_options(Recipe.from_dict(fields), options)
        return Recipe.of(**{**fields, **options})  # together: one option can need another
    except (OnnxqError, TypeError) as error:
        raise OnnxqError(f"recipe {name}: {error}") from error
