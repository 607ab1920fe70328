"""ONNX Runtime sessions: the native library, providers, and errors in plain words."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.errors import OnnxqError

LIBRARY = "libonnxq_ops.so"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
CUDA_OPTIONS = {
    "use_tf32": "0",  # TF32 would round every convolution to 10 bits of mantissa
    # An exhaustive search, the default, may choose other algorithms in each session: logits would differ between runs.
    "cudnn_conv_algo_search": "HEURISTIC",
}


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


def has_cuda_kernels() -> bool:
    """Whether the native library was built with a CUDA compiler. Without, CUDA sessions run the kernels of the CPU."""
    return find_library() is not None and library_text("onnxq_cuda_architectures") != ""


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
            None takes it where it is there and ONNX Runtime can load it.

    Raises:
        OnnxqError: native is True and the library was not built, or cannot be loaded.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if native or (native is None and find_library() is not None):
        try:
            options.register_custom_ops_library(get_library_path())
        except Exception as error:  # onnxruntime raises its own family, without a common public base
            problem = f"the native library cannot be loaded: {str(error).splitlines()[0]}; reinstall onnxq"
            if native:
                raise OnnxqError(problem) from error
            warnings.warn(f"{problem} (running on function bodies)", stacklevel=2)
    return options


def _cuda_problem() -> str | None:
    """Why the CUDA provider cannot run here, or None."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return "this onnxruntime has no CUDA provider; install onnxruntime-gpu"
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return "no NVIDIA GPU or driver found on this machine"
    return None


def image_input(session: ort.InferenceSession) -> ort.NodeArg:
    """The one input of a model.

    Raises:
        OnnxqError: it has several.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs)
        raise OnnxqError(f"the model must have one input, the images; this one has {len(inputs)}: {names}")
    return inputs[0]


def on_device(images: NDArray[np.float32], session: ort.InferenceSession) -> ort.OrtValue:
    """Images where a session wants them; on a GPU one copy serves all sessions that run there."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(images), provider_of(session), 0)


def run(session: ort.InferenceSession, names: Sequence[str], images: ort.OrtValue) -> list[NDArray[Any]]:
    """The named outputs of a model for images that are on its device.

    Raises:
        OnnxqError: it cannot run on them.
    """
    binding = session.io_binding()
    binding.bind_ortvalue_input(image_input(session).name, images)
    for name in names:
        binding.bind_output(name, "cpu")
    try:
        session.run_with_iobinding(binding)
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        problem = (str(error).strip() or repr(error)).splitlines()[0]
        raise OnnxqError(f"the model cannot run on images of shape {images.shape()}: {problem}") from error
    outputs: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
    return outputs


def outputs_of(
    session: ort.InferenceSession,
    names: Sequence[str],
    batches: Iterable[NDArray[np.float32]],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[range, list[NDArray[Any]]]]:
    """Run batches of images, empty ones left out: which images of all, and the named outputs of each batch.

    Raises:
        OnnxqError: the images do not fit the model.
    """
    images = 0
    for batch in batches:
        if not len(batch):
            continue
        check_batch(session, batch, "the model")
        yield range(images, images + len(batch)), run(session, names, on_device(batch, session))
        images += len(batch)
        if progress:
            progress(len(batch))


def finite_outputs(
    session: ort.InferenceSession,
    names: Sequence[str],
    batches: Iterable[NDArray[np.float32]],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[range, list[NDArray[Any]]]]:
    """As ``outputs_of``.

    Raises:
        OnnxqError: the images do not fit the model, or an output is NaN or infinite.
    """
    for images, values in outputs_of(session, names, batches, progress):
        if not all(np.isfinite(value).all() for value in values):
            raise OnnxqError(f"NaN or infinite activations on images {images[0]} to {images[-1]}")
        yield images, values


def check_batch(session: ort.InferenceSession, batch: NDArray[np.float32], name: str) -> None:
    """Compare images with the shape that a model declares.

    Raises:
        OnnxqError: they do not fit; ``name`` is what the message calls the model.
    """
    declared = image_input(session).shape
    fits = len(declared) == batch.ndim and all(
        not isinstance(want, int) or want == got for want, got in zip(declared, batch.shape, strict=True)
    )
    if fits:
        return
    if declared[1:] == list(batch.shape[1:]):
        raise OnnxqError(
            f"{name} takes exactly {declared[0]} images at once, a batch has {len(batch)}: give a --batch-size of "
            f"{declared[0]} and a multiple of it with -n, or export it with a dynamic batch"
        )
    raise OnnxqError(
        f"{name} cannot run on images of shape {list(batch.shape[1:])}, it wants {declared[1:]}; "
        "is the preprocessing right (--preset)?"
    )


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


def provider_of(session: ort.InferenceSession) -> str:
    """'cpu' or 'cuda': where a session runs."""
    return "cuda" if PROVIDERS["cuda"] in session.get_providers() else "cpu"


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
        provider: 'auto', 'cpu' or 'cuda'.
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
        providers = [("CUDAExecutionProvider", CUDA_OPTIONS), *providers]
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    name = "the model" if isinstance(model, onnx.ModelProto) else str(model)
    options = options or session_options(native=native)
    try:
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in (weights or {}).values()]
        if values:
            options.add_external_initializers(list(weights or {}), values)
        session = ort.InferenceSession(source, options, providers=providers)
        session.onnxq_weights = values  # ONNX Runtime points to this memory and does not keep it alive
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if "onnxq:" in first_line and "is not a registered" in first_line:
            first_line = "it has an operator that only the native library of onnxq runs; see `onnxq info`"
        raise OnnxqError(f"ONNX Runtime cannot load {name}: {first_line}") from error
    if PROVIDERS[provider] not in session.get_providers() and asked != "auto":
        raise OnnxqError(
            "--provider cuda: ONNX Runtime could not load its CUDA provider (driver or CUDA libraries missing)"
        )
    return session
