"""Checks that several choices share: each returns the problems it finds, a sentence each. A ground module."""

from __future__ import annotations

import math

LARGEST = 1e300  # far beyond what any parameter can be


def shown(value: object) -> str:
    """A value for a message, however large it is."""
    if isinstance(value, int) and abs(value) >= 2**64:
        return "one of many digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> list[str]:
    """Whether ``value`` is a finite number between the bounds, both included.

    >>> number("bits", 9, 2, 8)
    ['`bits` must lie between 2 and 8, not 9']
    >>> number("bits", "four")
    ["`bits` must be a number, not 'four'"]
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST < value < LARGEST:
        return [f"`{name}` must be a number, not {shown(value)}"]
    if not low <= value <= high:
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        return [f"`{name}` must {'be' if high == math.inf else 'lie'} {bounds}, not {value:g}"]
    return []


def whole_number(name: str, value: object, low: int, high: int) -> list[str]:
    """Whether ``value`` is an integer between the bounds, both included."""
    return number(name, value, low, high) or (
        [] if isinstance(value, int) else [f"`{name}` must be a whole number, not {shown(value)}"]
    )


def check_type(name: str, value: object, kinds: type | tuple[type, ...]) -> None:
    """Whether an argument is what it must be.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise TypeError(f"`{name}` must be {wanted}, not {type(value).__name__}")


def check_callable(name: str, value: object) -> None:
    """Whether an argument is a function, or None.

    Raises:
        TypeError: it is not.
    """
    if value is not None and not callable(value):
        raise TypeError(f"`{name}` must be a function, not {type(value).__name__}")


def boolean(name: str, value: object) -> list[str]:
    """Whether ``value`` is True or False."""
    return [] if isinstance(value, bool) else [f"`{name}` must be true or false, not {value!r}"]


def one_of(name: str, value: object, choices: tuple[str, ...]) -> list[str]:
    """Whether ``value`` is one of these words."""
    return [] if value in choices else [f"`{name}`: no {value!r}; use one of {', '.join(choices)}"]
