"""What does calibration cost? Time against plain float inference, and peak memory against the number of images.

    python benchmarks/calibration.py [--arch resnet50] [--json FILE]

Random images and weights: neither time nor memory depends on their values. Each measurement of memory is a process
of its own; times are taken in one process, in turns.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import onnxq
from onnxq.files import save_model
from onnxq.runtime import make_session

BATCH = 8


def images(count: int) -> Iterator[NDArray[np.float32]]:
    """Batches of random 224x224 images, made one at a time."""
    random = np.random.default_rng(0)
    for start in range(0, count, BATCH):
        yield random.standard_normal((min(BATCH, count - start), 3, 224, 224)).astype(np.float32)


def peak_mebibytes(model: Path, count: int) -> float:
    """Peak resident memory of a process that calibrates on ``count`` images."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(model), str(count)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def child(model: str, count: int) -> None:
    """Calibrate, and print the peak resident memory in MiB (of this process; ru_maxrss starts at its parent's)."""
    onnxq.calibrate(model, images(count), provider="cpu")
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024)  # type: ignore[index]


def seconds(model: Path, count: int, turns: int) -> tuple[list[float], list[float]]:
    """(calibration, plain inference) over the same images, in turns; the session's creation counts in both."""
    batches = list(images(count))
    calibration, inference = [], []
    for _ in range(turns):
        started = time.perf_counter()
        session = make_session(model)
        for batch in batches:
            session.run(None, {"input": batch})
        inference.append(time.perf_counter() - started)
        started = time.perf_counter()
        onnxq.calibrate(model, batches, provider="cpu")
        calibration.append(time.perf_counter() - started)
    return calibration, inference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--images", type=int, nargs="*", default=[64, 512], help="for the time")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[64, 512], help="numbers of images for the memory")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], int(args.child[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        from onnxq.export import export_model  # not above: torch's memory is none of calibration's

        model = Path(folder) / "model.onnx"
        save_model(export_model(args.arch, weights="none"), model)
        times = {str(count): seconds(model, count, args.turns) for count in args.images}
        memory = {str(count): peak_mebibytes(model, count) for count in args.memory}
    print(f"{args.arch}, 224x224, batch {BATCH}, CPU, medians of {args.turns} turns")
    ratios = {}
    for count, (calibration, inference) in times.items():
        ratios[count] = statistics.median(a / b for a, b in zip(calibration, inference, strict=True))
        print(f"  {count:>4} images: plain float inference {statistics.median(inference):6.2f} s, ", end="")
        print(f"calibration {statistics.median(calibration):6.2f} s: {ratios[count]:.2f} x")
    for count, peak in memory.items():
        print(f"  {count:>4} images: peak memory {peak:.0f} MiB")
    if args.json:
        report = {"arch": args.arch, "batch": BATCH, "seconds": times, "ratio": ratios, "peak_mebibytes": memory}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
