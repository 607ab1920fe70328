"""Recipes as YAML files: a comment that says what they are for, and fields. A part of ``recipe``.

Called by the command line and by whoever loads a recipe by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from onnxq.errors import OnnxqError, first_line
from onnxq.recipe import writing
from onnxq.recipe.flat import with_options
from onnxq.recipe.recipe import Recipe

LONGEST = 10**6  # characters
LONGEST_VALUE = 10_000  # characters
MOST_EXPANDED = 1_000
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
        return _text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"no recipe {name}: neither a file nor one of those that `onnxq recipes` lists") from error


def _text_of(path: Path) -> str:
    """As much of a file as a recipe can have, and a little more."""
    with path.open() as file:
        return file.read(LONGEST + 1)


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
        return _parse(_text_of(Path(path)), path)
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"{path}: cannot be read ({error})") from error


def _parse(text: str, what: str) -> Any:
    if len(text) > LONGEST:
        raise OnnxqError(f"{what}: over {LONGEST} characters are no recipe")
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # the constructors of dates and numbers raise what Python raises
        raise OnnxqError(f"{what} is not YAML: {first_line(error)}") from error


class _Loader(yaml.SafeLoader):
    """As safe, and without what makes a little text a lot: aliases of aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[int, int] = {}  # of whole nodes, what their aliases stand for included
        self._expanded = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Add up what aliases stand for; the base class composes."""
        is_alias = self.check_event(yaml.events.AliasEvent)
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and len(node.value) > LONGEST_VALUE:  # numbers in base 60 take its square
            raise yaml.YAMLError(f"a value of more than {LONGEST_VALUE} characters")
        if is_alias:
            self._expanded += self._sizes.get(id(node), MOST_EXPANDED + 1)  # one that is not whole holds itself
            if self._expanded > MOST_EXPANDED:
                raise yaml.YAMLError(f"its aliases stand for more than {MOST_EXPANDED} values")
        else:
            values = node.value if isinstance(node, yaml.CollectionNode) else []
            inside = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
            self._sizes[id(node)] = 1 + sum(self._sizes.get(id(each), 0) for each in inside)
        return node


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
