"""Fields that are written as names. A ground module, used by the parts of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def coerce(part: object, readers: Mapping[str, Callable[[Any], Any]]) -> None:
    """Replace fields of a frozen dataclass, unless they are None, by what their reader makes of them."""
    for name, read in readers.items():
        value = getattr(part, name)
        if value is not None:
            object.__setattr__(part, name, read(value))
