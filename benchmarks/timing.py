"""What several benchmarks share: files in turns, peak memory, the profiler, random networks."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.graph.model_files import save_model
from onnxq.runtime.batches import There, on_device, run
from onnxq.runtime.sessions import make_session


def random_network(arch: str, folder: Path) -> Path:
    """A torchvision network with random weights: speed and memory do not depend on their values."""
    from onnxq.export.torchvision import export_model  # not above: torch's memory is none of what is measured

    path = folder / f"{arch}.onnx"
    if not path.exists():
        save_model(export_model(arch, weights="none"), path)
    return path


def random_images(count: int, seed: int = 0) -> NDArray[np.float32]:
    """float32 [count, 3, 224, 224]."""
    return np.random.default_rng(seed).standard_normal((count, 3, 224, 224)).astype(np.float32)


def peak_mebibytes() -> float:
    """Peak resident memory of this process so far (ru_maxrss would start at its parent's)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def logits_of(session: ort.InferenceSession, images: NDArray[np.float32] | There) -> NDArray[np.float32]:
    """The first output of a network."""
    there = on_device(images, session) if isinstance(images, np.ndarray) else images
    return run(session, [session.get_outputs()[0].name], there)[0]


def profiled(options: ort.SessionOptions, folder: Path) -> ort.SessionOptions:
    """The same options, with ONNX Runtime's profiler writing into a folder."""
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    return options


def node_events(session: ort.InferenceSession) -> list[dict[str, Any]]:
    """What the profiler saw of each run of a node: name, ``dur`` in microseconds, operator and provider in ``args``."""
    events = json.loads(Path(session.end_profiling()).read_text())
    return [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]


def throughput(
    files: Mapping[str, Path],
    images: NDArray[np.float32],
    turns: int,
    provider: str = "cpu",
    native: bool | None = None,
) -> dict[str, list[float]]:
    """Images a second of every turn, without the copy of images to a GPU; the files take turns, so that a slow minute
    of the machine hits all.
    """
    sessions = {label: make_session(path, provider, native=native) for label, path in files.items()}
    rates: dict[str, list[float]] = {label: [] for label in files}
    for turn in range(turns + 1):
        for label, session in sessions.items():
            there = on_device(images, session)
            started = time.perf_counter()
            logits_of(session, there)
            if turn > 0:  # the first one warms up
                rates[label].append(len(images) / (time.perf_counter() - started))
    return rates


def ratio(rates: Mapping[str, list[float]], label: str, base: str) -> float:
    """Median over the turns of one file's speed over another's."""
    return statistics.median(a / b for a, b in zip(rates[label], rates[base], strict=True))
