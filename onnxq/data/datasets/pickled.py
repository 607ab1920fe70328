"""Reading data sets that are pickles without an unpickler. A part of ``data``.

A pickle is a program. This module carries out those of its instructions that lists of labels, names and files and
an array of bytes need, on values of its own: nothing is imported or called, and arrays stay bytes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxq.errors import OnnxqError, first_line

LARGEST = 2**30  # bytes of a file
LARGEST_INTEGER = 2**63
ARRAY_MAKERS = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
ARRAYS_OF_BUFFERS = ("numpy.core.numeric _frombuffer", "numpy._core.numeric _frombuffer")
BYTE_TYPES = ("u1", "|u1", "uint8")


@dataclass
class Symbol:
    """What a name stands for that the pickle would import."""

    name: str


@dataclass
class ByteType:
    """A type of numpy, of single bytes."""


@dataclass
class Bytes:
    """An array of bytes, filled by its state."""

    content: bytes = b""


def _byte_type(name: str | bytes, *_: object) -> ByteType:
    if (name.decode() if isinstance(name, bytes) else name) not in BYTE_TYPES:
        raise ValueError(f"an array of {name!r}")
    return ByteType()


def read_batch(path: Path, what: str = "a batch of CIFAR", largest: int = LARGEST) -> dict[Any, Any]:
    """The dictionary in a file; arrays of bytes are ``bytes``, text stays text.

    Args:
        what: it should be, for messages. largest: bytes that it may have.

    Raises:
        OnnxqError: it holds something else, or is damaged.
        FileNotFoundError: it is not there.
    """
    try:
        if path.stat().st_size > largest:
            raise ValueError("it is larger than any")
        program = path.read_bytes()
        content = _Machine(len(program)).run(program)
    except (FileNotFoundError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged program can do anything that this one does not expect
        raise OnnxqError(f"{path}: not {what}, or a damaged one ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise OnnxqError(f"{path}: not {what}: no dictionary")
    return {key: value.content if isinstance(value, Bytes) else value for key, value in content.items()}


class _Machine:
    """A stack, and a memory of what was made."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []  # their places on the stack
        self.room = 4 * size  # bytes that may be made of what is there
        self.memo: dict[int, Any] = {}
        self.calls: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(ARRAY_MAKERS, lambda *_: Bytes()),
            **dict.fromkeys(ARRAYS_OF_BUFFERS, self._array_of),
            "numpy dtype": _byte_type,
            "_codecs encode": self._text_as_bytes,
        }
        self.actions: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME"), self._pass),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda place: self.stack.append(self.memo[place])),
            **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), self._integer),
            **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), self.stack.append),
            **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), self._byte_string),
            **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), self.stack.append),
            "MEMOIZE": lambda _: self._remember(len(self.memo)),
            "NONE": lambda _: self.stack.append(None),
            "NEWTRUE": lambda _: self.stack.append(True),
            "NEWFALSE": lambda _: self.stack.append(False),
            "MARK": lambda _: self.marks.append(len(self.stack)),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "DICT": lambda _: self.stack.append(self._pairs(self._marked())),
            "LIST": lambda _: self.stack.append(self._marked()),
            "TUPLE": lambda _: self.stack.append(tuple(self._marked())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "APPEND": lambda _: self._extend([self.stack.pop()]),
            "APPENDS": lambda _: self._extend(self._marked()),
            "SETITEM": lambda _: self._update(self._popped(2)),
            "SETITEMS": lambda _: self._update(self._marked()),
            "GLOBAL": lambda name: self.stack.append(Symbol(name)),
            "STACK_GLOBAL": lambda _: self.stack.append(Symbol(" ".join(self._popped(2)))),
            "REDUCE": lambda _: self._call(),
            "BUILD": lambda _: self._fill(),
        }

    def run(self, program: bytes) -> Any:
        """What the pickle makes."""
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name == "STOP":
                (made,) = self.stack
                return made
            if opcode.name not in self.actions:
                raise ValueError(f"{opcode.name} has no place in a batch")
            self.actions[opcode.name](argument)
        raise ValueError("it has no end")

    def _pass(self, argument: object) -> None:
        """An instruction about the file itself."""

    def _remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def _integer(self, value: object) -> None:
        if not isinstance(value, int) or abs(value) >= LARGEST_INTEGER:
            raise ValueError("a number out of range")
        self.stack.append(value)

    def _byte_string(self, text: str) -> None:
        self.stack.append(text.encode("latin-1"))

    def _popped(self, count: int) -> list[Any]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise ValueError("it takes more than it has")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        place = self.marks.pop()
        values = self.stack[place:]
        del self.stack[place:]
        return values

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple(self._popped(count)))

    @staticmethod
    def _pairs(values: list[Any]) -> dict[Any, Any]:
        keys = values[::2]
        if len(values) % 2 or not all(isinstance(key, (str, bytes)) for key in keys):
            raise ValueError("a dictionary of something else than names")
        return dict(zip(keys, values[1::2], strict=True))

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("what it appends to is no list")
        self.stack[-1].extend(values)

    def _update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("what it fills is no dictionary")
        self.stack[-1].update(self._pairs(values))

    def _call(self) -> None:
        """What ``self.calls`` has, and nothing else."""
        function, arguments = self._popped(2)
        name = function.name if isinstance(function, Symbol) else type(function).__name__
        if name not in self.calls:
            raise ValueError(f"a call of {name}")
        self.stack.append(self.calls[name](*arguments))

    def _array_of(self, content: object, kind: object, shape: object, order: object) -> Bytes:
        if not isinstance(kind, ByteType) or order != "C":
            raise ValueError("an array of something else than bytes in C order")
        return Bytes(self._bytes(content))

    def _text_as_bytes(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise ValueError(f"bytes in {encoding}")
        return self._bytes(text.encode("latin-1"))

    def _fill(self) -> None:
        """The state of an array: version, shape, type, order, content; that of a type says nothing new."""
        made, state = self._popped(2)
        if isinstance(made, Bytes) and isinstance(state, tuple) and isinstance(state[-3], ByteType) and not state[-2]:
            made.content = self._bytes(state[-1])
        elif not isinstance(made, ByteType):
            raise ValueError("an array of something else than bytes")
        self.stack.append(made)

    def _bytes(self, content: object) -> bytes:
        if not isinstance(content, (bytes, bytearray)):
            raise ValueError("an array without its bytes")
        self.room -= len(content)
        if self.room < 0:
            raise ValueError("it makes more than it holds")
        return bytes(content)
