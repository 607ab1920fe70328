"""Where sessions run: on the processor, or on a GPU by CUDA. A part of ``runtime``."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import onnxruntime as ort

from onnxq.errors import OnnxqError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
NUMBERED = "cuda:"
CUDA_OPTIONS = {
    "use_tf32": "0",  # TF32 would round every convolution to 10 bits of mantissa
    # An exhaustive search, the default, may choose other algorithms in each session: logits would differ between runs.
    "cudnn_conv_algo_search": "HEURISTIC",
}


TWICE = (
    "onnxruntime and onnxruntime-gpu are both installed, and each has overwritten files of the other: pip uninstall "
    "onnxruntime onnxruntime-gpu, then install one of them ('onnxq[cpu]' or 'onnxq[gpu]')"
)


def is_installed_twice() -> bool:
    """Whether both packages of ONNX Runtime are installed, which share one folder."""
    return all(_has_version(name) for name in ("onnxruntime", "onnxruntime-gpu"))


def _has_version(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _cuda_problem() -> str | None:
    """Why the CUDA provider cannot run here, or None."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        if is_installed_twice():
            return TWICE
        return "this onnxruntime has no CUDA provider: pip uninstall onnxruntime, then pip install 'onnxq[gpu]'"
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return "no NVIDIA GPU or driver found on this machine"
    return None


def resolve_provider(name: str) -> str:
    """'auto', 'cpu', 'cuda' or 'cuda:N' to 'cpu' or 'cuda'; N is the number of the GPU.

    Raises:
        OnnxqError: CUDA is asked for and cannot be had.
    """
    if isinstance(name, str) and name.startswith(NUMBERED):
        device_number(name)
        name = "cuda"
    problem = _cuda_problem() if name in ("auto", "cuda") else None
    if name == "cuda" and problem:
        raise OnnxqError(f"`provider` cuda: {problem}")
    if name == "auto":
        return "cpu" if problem else "cuda"
    if name not in PROVIDERS:
        raise OnnxqError(f"unknown provider {name!r}; use auto, cpu or cuda")
    return name


def device_number(name: str) -> int:
    """The GPU that a provider names: N of 'cuda:N', otherwise 0.

    Raises:
        OnnxqError: it is no number.

    >>> device_number("cuda:2")
    2
    """
    number = name.removeprefix(NUMBERED) if name.startswith(NUMBERED) else "0"
    if not number.isascii() or not number.isdigit():
        raise OnnxqError(f"unknown provider {name!r}; GPUs are cuda:0, cuda:1, ...")
    return int(number)


def device_of(session: ort.InferenceSession) -> tuple[str, int]:
    """('cpu' or 'cuda', number of the device): where a session takes its inputs."""
    provider = provider_of(session)
    options = session.get_provider_options().get(PROVIDERS[provider], {})
    return provider, int(options.get("device_id", 0))


def provider_of(session: ort.InferenceSession) -> str:
    """'cpu' or 'cuda': where a session runs."""
    return "cuda" if PROVIDERS["cuda"] in session.get_providers() else "cpu"
