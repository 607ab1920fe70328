"""The CUDA kernels prove themselves before they are used on a machine. A part of ``runtime``, called by ``sessions``.

No results file from hardware has been committed yet, and drivers differ: when a CUDA session is first made with this
library, driver and device, every kernel is compared with its function body (of ``FixedPointConv``, which has none, with
the CPU kernel) on a few thousand values, bit for bit. The answer is remembered in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.core.files import replacing
from onnxq.errors import OnnxqError, first_line
from onnxq.runtime.library import get_library_path
from onnxq.runtime.one_operator import OPERATORS, convolution_model, model_of

SHAPE = (3, 5, 17, 19)  # no size a multiple of what kernels take at once
ODD_VALUES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 0.5, 1.5, -0.25, 3e38)
Make = Callable[[onnx.ModelProto, bool, str], ort.InferenceSession]  # model, with the library, provider


def kernels_problem(make: Make, provider: str) -> tuple[str, bool]:
    """What is wrong with the kernels of a provider, empty if nothing is; and whether that is sure to stay so.

    Args:
        make: makes a session.
    """
    random = np.random.default_rng(0)
    for name in (*OPERATORS, "FixedPointConv"):
        x = random.standard_normal(SHAPE).astype(np.float32) * 3
        body = convolution_model(SHAPE) if name == "FixedPointConv" else model_of(name, SHAPE, everything=True)
        if name == "FixedPointConv":
            x = (np.round(x * 16) / 16).astype(np.float32)
        elif name != "Observe":
            x.reshape(-1)[: len(ODD_VALUES)] = ODD_VALUES
        try:
            got = _outputs(make(body, True, provider), x)
            wanted = _outputs(make(body, name == "FixedPointConv", "cpu"), x)
        except Exception as error:  # of drivers, of ONNX Runtime, of what is not there
            return f"{name}: {first_line(error)}", False
        if not all(_same(a, b) for a, b in zip(got, wanted, strict=True)):
            return f"{name}: its kernel does not compute what its function body does", True
    return "", True


def _outputs(session: ort.InferenceSession, x: NDArray[np.float32]) -> list[NDArray[Any]]:
    return [np.asarray(output) for output in session.run(None, {"x": x})]


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """The same bits; one NaN is as good as another, and so is one zero."""
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def remembered_problem(make: Make, machine: Mapping[str, str], folder: Path | None = None) -> str:
    """As ``kernels_problem`` on CUDA, asked once for each library and machine.

    Args:
        machine: what tells it from others: device, driver, versions. folder: of the answers; None: the user's.
    """
    library = hashlib.sha256(Path(get_library_path()).read_bytes()).hexdigest()
    key = hashlib.sha256(json.dumps([library, sorted(machine.items())]).encode()).hexdigest()[:32]
    try:
        path = (folder or cache_folder()) / f"cuda-kernels-{key}.json"
    except RuntimeError:  # a user without a home: asked anew each time
        return kernels_problem(make, "cuda")[0]
    try:
        known = json.loads(path.read_text())["problem"]
        if isinstance(known, str):
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not asked yet, or damaged
    problem, certain = kernels_problem(make, "cuda")
    if not certain:
        return problem
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"problem": problem, "machine": dict(machine)}) + "\n")
    except (OSError, OnnxqError):
        pass  # it is asked again next time
    return problem


def cache_folder() -> Path:
    """Where onnxq remembers things of a user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onnxq"


@cache
def machine_facts() -> dict[str, str]:
    """Device and driver as the system tells them, and the version of ONNX Runtime."""
    facts = {"onnxruntime": ort.__version__}
    for path in (Path("/proc/driver/nvidia/version"), *sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))):
        try:
            facts[str(path)] = path.read_text()
        except OSError:
            continue
    return facts
