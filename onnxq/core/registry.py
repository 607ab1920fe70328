"""Names of choices. A ground type: every kind of choice (formats, clipping rules, ...) has one registry.

A choice is a dataclass with its own parameters, frozen unless it counts something. Recipes write it as its name, or as
a mapping of its name to the parameters that differ from their defaults: ``percentile``, ``{percentile: {keep: 99.9}}``.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from onnxq.errors import OnnxqError

Choice = TypeVar("Choice")
Registered = TypeVar("Registered", bound=type)


class Registry(Generic[Choice]):
    """A name -> class table, filled by the decorator ``register``.

    Args:
        kind: what messages call such a choice.
        home: the package whose modules register the choices that come with onnxq; it is imported when a name is first
            looked up, so that the registry itself can lie below it.
    """

    def __init__(self, kind: str, home: str) -> None:
        self.kind = kind
        self._home = home
        self._classes: dict[str, Any] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Decorate a dataclass: it is called ``name`` in recipes, and on the command line.

        Raises:
            ValueError: the name is taken by another class.
        """

        def decorate(cls: Registered) -> Registered:
            known = self._classes.get(name)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(f"there is a {self.kind} {name!r} already: {known.__module__}.{known.__qualname__}")
            self._classes[name] = cls
            return cls

        return decorate

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        importlib.import_module(self._home)
        return tuple(self._classes)

    def parse(self, written: object) -> Choice:
        """The choice that a name, or a mapping of a name to parameters, stands for; a choice is returned as it is.

        Raises:
            OnnxqError: there is no such choice, or it has no such parameter.
        """
        names = self.names()
        if type(written) in self._classes.values():
            return written  # type: ignore[return-value]
        name: object = written
        parameters: Any = {}
        if isinstance(written, Mapping) and len(written) == 1:
            ((name, parameters),) = written.items()
        if not isinstance(name, str) or name not in self._classes:
            raise OnnxqError(f"no {self.kind} {name!r}; use one of {', '.join(names)}")
        cls = self._classes[name]
        fields = {field.name for field in dataclasses.fields(cls) if field.init}
        if not isinstance(parameters, Mapping) or (unknown := [key for key in parameters if key not in fields]):
            wrong = ", ".join(map(str, unknown)) if isinstance(parameters, Mapping) else repr(parameters)
            raise OnnxqError(f"{self.kind} {name}: {wrong}; its parameters are {', '.join(sorted(fields)) or 'none'}")
        choice: Choice = cls(**parameters)
        return choice

    def name_of(self, choice: object) -> str:
        """The name of a choice's class."""
        return next(name for name, cls in self._classes.items() if cls is type(choice))

    def written(self, choice: Any) -> object:
        """What ``parse`` reads: the name, with the parameters that differ from their defaults."""
        parameters = {
            field.name: getattr(choice, field.name)
            for field in dataclasses.fields(choice)
            if field.init and getattr(choice, field.name) != field.default
        }
        name = self.name_of(choice)
        return {name: parameters} if parameters else name
