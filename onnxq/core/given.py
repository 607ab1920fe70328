"""What users give as ``module.py:name``: their own data, and their own metrics. A ground module."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnxq.errors import OnnxqError, first_line


def is_given(spec: str) -> bool:
    """Whether it has this form."""
    return spec.rpartition(":")[0].endswith(".py")


def imported(spec: str, option: str) -> Callable[..., Any]:
    """What ``module.py:name`` names.

    Raises:
        OnnxqError: there is no such file or name, or the file fails.
    """
    file, _, name = spec.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise OnnxqError(f"`{option}` {spec}: no such file {file}")
    found = importlib.util.spec_from_file_location(f"onnxq_given_{path.stem}", path)
    assert found is not None and found.loader is not None  # of a .py file
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    if (folder := str(path.parent.resolve())) not in sys.path:
        sys.path.insert(0, folder)  # what lies beside it can be imported, as where it is run
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # of somebody else's program
        raise OnnxqError(f"`{option}` {spec}: {type(error).__name__}: {first_line(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise OnnxqError(f"`{option}` {spec}: {file} has no function {name}")
    return function
