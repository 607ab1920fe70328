"""What several benchmarks share: files in turns, peak memory, random networks."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxq.files import save_model
from onnxq.runtime import make_session, on_device, run


def random_network(arch: str, folder: Path) -> Path:
    """A torchvision network with random weights: speed and memory do not depend on their values."""
    from onnxq.export import export_model  # not above: torch's memory is none of what is measured

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
            run(session, [session.get_outputs()[0].name], there)
            if turn > 0:  # the first one warms up
                rates[label].append(len(images) / (time.perf_counter() - started))
    return rates


def ratio(rates: Mapping[str, list[float]], label: str, base: str) -> float:
    """Median over the turns of one file's speed over another's."""
    return statistics.median(a / b for a, b in zip(rates[label], rates[base], strict=True))
