"""Packages that only some things need, and what brings them where they are missing. A ground module."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from onnxq.errors import OnnxqError


def optional(module: str, extra: str, problem: str) -> ModuleType:
    """The package.

    Args:
        extra: of onnxq, by which pip installs it. problem: what cannot be done without, and what it is called.

    Raises:
        OnnxqError: it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise OnnxqError(f"{problem}: pip install 'onnxq[{extra}]'") from error
