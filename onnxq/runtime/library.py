"""The native library of kernels: where it is, and what it says of itself. A part of ``runtime``."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from pathlib import Path

from onnxq.errors import OnnxqError

LIBRARY = "libonnxq_ops.so"


def find_library() -> Path | None:
    """Path of the native library, or None where it was not built; ``ONNXQ_LIBRARY`` names another build of it."""
    if (other := os.environ.get("ONNXQ_LIBRARY")) is not None:
        return Path(other)
    spec = importlib.util.find_spec("onnxq")
    for folder in spec.submodule_search_locations or () if spec else ():  # two folders in an editable install
        path = Path(folder) / LIBRARY
        if path.is_file():
            return path
    return None


def get_library_path() -> str:
    """Path of the native library, for ``SessionOptions.register_custom_ops_library``.

    Raises:
        OnnxqError: the library was not built when onnxq was installed.
    """
    path = find_library()
    if path is None:
        raise OnnxqError(
            "the native library is not installed; files run without it, see `onnxq info` for how to get it"
        )
    return str(path)


def has_cuda_kernels() -> bool:
    """Whether the native library was built with a CUDA compiler. Without, CUDA sessions run the kernels of the CPU."""
    return find_library() is not None and library_text("onnxq_cuda_architectures") != ""


def library_text(function: str) -> str:
    """What an exported ``const char* function()`` of the native library says."""
    entry = ctypes.CDLL(get_library_path())[function]
    entry.restype = ctypes.c_char_p
    value: bytes = entry()
    return value.decode()
