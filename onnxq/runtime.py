"""ONNX Runtime sessions: the native library, providers, and errors in plain words."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime as ort

from onnxq.errors import OnnxqError

LIBRARY = "libonnxq_ops.so"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
CUDA_OPTIONS = {"use_tf32": "0"}  # TF32 would round every convolution to 10 bits of mantissa


def find_library() -> Path | None:
    """Path of the native library, or None where it was not built."""
    import onnxq

    for folder in onnxq.__path__:  # two folders in an editable install
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


def library_text(function: str) -> str:
    """What an exported ``const char* function()`` of the native library says."""
    entry = ctypes.CDLL(get_library_path())[function]
    entry.restype = ctypes.c_char_p
    value: bytes = entry()
    return value.decode()


def session_options(*, native: bool | None = None) -> ort.SessionOptions:
    """Session options with the native library registered.

    Args:
        native: True demands the library, False leaves it out (operators run as function bodies),
            None takes it where it is there.

    Raises:
        OnnxqError: native is True and the library was not built.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if native or (native is None and find_library() is not None):
        options.register_custom_ops_library(get_library_path())
    return options


def _cuda_problem() -> str | None:
    """Why the CUDA provider cannot run here, or None."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return "this onnxruntime has no CUDA provider; install onnxruntime-gpu"
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return "no NVIDIA GPU or driver found on this machine"
    return None


def resolve_provider(name: str) -> str:
    """'auto', 'cpu' or 'cuda' to 'cpu' or 'cuda'.

    Raises:
        OnnxqError: CUDA is asked for and cannot be had.
    """
    problem = _cuda_problem() if name in ("auto", "cuda") else None
    if name == "cuda" and problem:
        raise OnnxqError(f"--provider cuda: {problem}")
    if name == "auto":
        return "cpu" if problem else "cuda"
    if name not in PROVIDERS:
        raise OnnxqError(f"unknown provider {name!r}; use auto, cpu or cuda")
    return name


def make_session(
    model: onnx.ModelProto | str | Path,
    provider: str = "cpu",
    *,
    native: bool | None = None,
    options: ort.SessionOptions | None = None,
) -> ort.InferenceSession:
    """An inference session that runs where it was asked to, or an error.

    Args:
        model: a model, or the path of a file.
        provider: 'auto', 'cpu' or 'cuda'.
        native: see ``session_options``.

    Raises:
        OnnxqError: the model cannot be loaded, or the provider cannot be had. (ONNX Runtime itself
            would fall back to the CPU with a log line only.)
    """
    provider = resolve_provider(provider)
    providers: Sequence[object] = ["CPUExecutionProvider"]
    if provider == "cuda":
        ort.preload_dlls()
        providers = [("CUDAExecutionProvider", CUDA_OPTIONS), *providers]
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    name = "the model" if isinstance(model, onnx.ModelProto) else str(model)
    try:
        session = ort.InferenceSession(source, options or session_options(native=native), providers=providers)
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise OnnxqError(f"ONNX Runtime cannot load {name}: {first_line}") from error
    if PROVIDERS[provider] not in session.get_providers():
        raise OnnxqError(
            "--provider cuda: ONNX Runtime could not load its CUDA provider (driver or CUDA libraries missing)"
        )
    return session
