"""ONNX Runtime sessions with onnxq's kernels. A part of ``runtime``, called by every stage that runs a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.errors import OnnxqError, first_line
from onnxq.graph.model_files import MAX_PROTOBUF, size_of
from onnxq.runtime.library import find_library, get_library_path, has_cuda_kernels
from onnxq.runtime.providers import CUDA_OPTIONS, PROVIDERS, device_number, resolve_provider
from onnxq.runtime.self_check import machine_facts, remembered_problem


def session_options(*, native: bool | None = None) -> ort.SessionOptions:
    """Session options with the native library registered.

    Args:
        native: True demands the library, False leaves it out (operators run as function bodies),
            None takes it where it is there and ONNX Runtime can load it.

    Raises:
        OnnxqError: native is True and the library was not built, or cannot be loaded.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else it slows what runs next: other sessions
    if native or (native is None and find_library() is not None):
        try:
            options.register_custom_ops_library(get_library_path())
        except Exception as error:  # onnxruntime raises its own family, without a common public base
            problem = f"the native library cannot be loaded: {str(error).splitlines()[0]}; reinstall onnxq"
            if native:
                raise OnnxqError(problem) from error
            warnings.warn(f"{problem} (running on function bodies)", stacklevel=2)
    return options


def trusted(native: bool | None, provider: str) -> bool | None:
    """``native`` of a session there: the kernels of CUDA, unless they are demanded, must have proved themselves."""
    return _unless_wrong() if native is None and resolve_provider(provider) == "cuda" else native


@cache
def _unless_wrong() -> bool | None:
    """False where the CUDA kernels do not compute what they should on this machine; asked once, and warned of."""
    if find_library() is None or not has_cuda_kernels():
        return None

    def make(model: onnx.ModelProto, native: bool, provider: str) -> ort.InferenceSession:
        return make_session(model, provider, options=session_options(native=native))

    if problem := remembered_problem(make, machine_facts()):
        warnings.warn(
            f"the CUDA kernels are not used on this machine: {problem} (running on function bodies)", stacklevel=3
        )
        return False
    return None


def check_loads(model: onnx.ModelProto) -> None:
    """Whether ONNX Runtime takes a model at all: what it would say later of a part of it, it says now of the whole.

    Raises:
        OnnxqError: it does not.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    for entry in model.graph.input:
        sizes = entry.type.tensor_type.shape.dim
        if entry.name not in constants and any(size.HasField("dim_value") and size.dim_value == 0 for size in sizes):
            raise OnnxqError(f"the model's input {entry.name} has a size of 0: there is nothing in it")
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if size_of(model) <= MAX_PROTOBUF:
        make_session(model, options=options)


def make_session(
    model: onnx.ModelProto | str | Path,
    provider: str = "cpu",
    *,
    native: bool | None = None,
    options: ort.SessionOptions | None = None,
    weights: Mapping[str, NDArray[Any]] | None = None,
) -> ort.InferenceSession:
    """An inference session that runs where it was asked to, or an error.

    Args:
        model: a model, or the path of a file.
        provider: 'auto', 'cpu', 'cuda' or 'cuda:N', N the number of the GPU.
        native: see ``session_options``.
        weights: initializers that the model declares as external data; they are used where they lie.

    Raises:
        OnnxqError: the model cannot be loaded, or CUDA was asked for and cannot be had. (ONNX Runtime itself
            would fall back to the CPU with a log line only, as 'auto' does.)
    """
    asked, provider = provider, resolve_provider(provider)
    providers: Sequence[object] = ["CPUExecutionProvider"]
    if provider == "cuda":
        ort.preload_dlls()
        providers = [("CUDAExecutionProvider", {**CUDA_OPTIONS, "device_id": str(device_number(asked))}), *providers]
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    name = "the model" if isinstance(model, onnx.ModelProto) else str(model)
    if options is None:
        options = session_options(native=trusted(native, provider))
    try:
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in (weights or {}).values()]
        if values:
            options.add_external_initializers(list(weights or {}), values)
        session = ort.InferenceSession(source, options, providers=providers)
        session.onnxq_weights = values  # ONNX Runtime points to this memory and does not keep it alive
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        problem = first_line(error)
        if "onnxq:" in problem and "is not a registered" in problem:
            problem = "it has an operator that only the native library of onnxq runs; see `onnxq info`"
        raise OnnxqError(f"ONNX Runtime cannot load {name}: {problem}") from error
    if PROVIDERS[provider] not in session.get_providers() and asked != "auto":
        raise OnnxqError(
            "`provider` cuda: ONNX Runtime could not load its CUDA provider (driver or CUDA libraries missing)"
        )
    return session
