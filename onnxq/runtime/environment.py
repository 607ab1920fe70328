"""What this installation can do, and what is missing and how to get it. A part of ``runtime``, for `onnxq info`."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import dataclass

import numpy as np
import onnx

from onnxq.core.operator_call import DOMAIN
from onnxq.errors import OnnxqError
from onnxq.operators import VERSION, fake_quantize
from onnxq.runtime.library import find_library, library_text
from onnxq.runtime.providers import TWICE, is_installed_twice, resolve_provider
from onnxq.runtime.sessions import make_session, session_options

PACKAGES = ("onnxq", "onnxruntime-gpu", "onnxruntime", "onnx", "onnx-graphsurgeon", "numpy", "torch", "torchvision")

KERNELS = "FakeQuantize, -Codebook, -FixedPoint, -MidTread, FixedPointConv, Observe"


@dataclass(frozen=True)
class Environment:
    """Facts for ``onnxq info``.

    Attributes:
        versions: of Python and the packages that are installed.
        providers: name -> '' where a session really runs there, else why not.
        library: path of the native library, or ''.
        kernels: what the native library holds, a line each.
        advice: what is missing and how to get it, a line each.
    """

    versions: dict[str, str]
    providers: dict[str, str]
    library: str
    kernels: tuple[str, ...]
    advice: tuple[str, ...]


def inspect_environment() -> Environment:
    """Look: versions are read, sessions are really made."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    providers = {name: _provider_problem(name) for name in ("cpu", "cuda")}
    path = find_library()
    kernels: list[str] = []
    advice: list[str] = []
    try:
        session_options(native=path is not None)
    except OnnxqError as error:
        advice.append(f"{str(error)[0].upper()}{str(error)[1:]}.")
        path = None
    if path is not None:
        kernels.append(f"CPU ({library_text('onnxq_cpu_isa')}): {KERNELS}")
        architectures = library_text("onnxq_cuda_architectures")
        if architectures:
            kernels.append(f"CUDA (compute capabilities {architectures}): {KERNELS}")
        elif "onnxruntime-gpu" in versions:
            advice.append("The native library has no CUDA kernels: reinstall from sources with ONNXQ_CUDA=ON.")
    elif not advice:
        advice.append(
            "The native library was not built: operators run as function bodies (same results, slower). Install a C++ "
            "compiler and ONNX Runtime's headers (Debian 13: libonnxruntime-dev; or set ONNXRUNTIME_INCLUDE_DIR), then "
            "reinstall with ONNXQ_REQUIRE_NATIVE=1 to see what is missing."
        )
    if is_installed_twice():
        advice.append(f"{TWICE}.")
    elif providers["cuda"]:
        advice.append(f"CUDA cannot be used: {providers['cuda']}.")
    if sys.platform != "linux":
        advice.append("The native library is built on Linux only.")
    return Environment(versions, providers, str(path or ""), tuple(kernels), tuple(advice))


def _provider_problem(name: str) -> str:
    """Why a FakeQuantize node cannot run on a provider; '' where it does."""
    helper = onnx.helper
    node = helper.make_node(fake_quantize.NAME, ["x", "scale", "zero_point", "bits"], ["y"], domain=DOMAIN)
    constants = [
        helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("zero_point", onnx.TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("bits", onnx.TensorProto.INT32, [], [4]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "probe", [value("x", onnx.TensorProto.FLOAT, [1])], [value("y", onnx.TensorProto.FLOAT, [1])], constants
    )
    model = helper.make_model(
        graph,
        functions=[fake_quantize.function(21)],
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=10,
    )
    try:
        resolve_provider(name)
        (y,) = make_session(model, name).run(None, {"x": np.array([1.2], np.float32)})
    except Exception as error:  # whatever stops it is what the user wants to know
        return str(error).splitlines()[0].removeprefix("`provider` cuda: ")
    return "" if y[0] == 1.0 else f"a test node gave {y[0]} instead of 1"
