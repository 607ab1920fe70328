"""What does calibration cost? Time against plain float inference and against ONNX Runtime's own, and peak memory.

    python benchmarks/calibration.py [--arch resnet50] [--json FILE]

Random images and weights: neither time nor memory depends on their values. Times against plain inference are taken in
one process, in turns, with the creation of the session on both sides. The others are processes of their own: seconds
from the model file to ranges (onnxq: to statistics of every scheme), and peak resident memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import peak_mebibytes, random_images, random_network

import onnxq
from onnxq.runtime.sessions import make_session
from onnxq_cli.common import table

BATCH = 8
PEERS = ("MinMax", "Percentile", "Entropy")
QUANTIZED_OPERATORS = ("Conv", "Gemm", "Add", "GlobalAveragePool", "MaxPool")


def images(count: int) -> Iterator[NDArray[np.float32]]:
    """Batches of random images, made one at a time."""
    for start in range(0, count, BATCH):
        yield random_images(min(BATCH, count - start), seed=start)


def by_onnxruntime(model: str, method: str, count: int, folder: str) -> None:
    """Ranges by onnxruntime.quantization."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator  # not above: it takes memory
    from reader import Reader

    calibrator = create_calibrator(
        Path(model),
        QUANTIZED_OPERATORS,
        augmented_model_path=f"{folder}/{method}.onnx",
        calibrate_method=CalibrationMethod[method],
    )
    calibrator.collect_data(Reader("input", images(count)))
    calibrator.compute_data()


def child(method: str, model: str, count: int) -> None:
    """Calibrate; print seconds and the peak resident memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        if method == "onnxq":
            onnxq.calibrate(model, images(count), provider="cpu")
        elif method == "inference":
            session = make_session(model)
            for batch in images(count):
                session.run(None, {"input": batch})
        else:
            by_onnxruntime(model, method, count, folder)
        print(time.perf_counter() - started, peak_mebibytes())


def of_its_own(method: str, model: Path, count: int) -> dict[str, float]:
    """Seconds and MiB of a process."""
    command = [sys.executable, __file__, "--child", method, str(model), str(count)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return {"images": count, "seconds": float(seconds), "peak_mebibytes": float(peak)}


def in_turns(model: Path, count: int, turns: int) -> dict[str, list[float]]:
    """Seconds of calibration and of plain inference over the same images."""
    batches = list(images(count))
    times: dict[str, list[float]] = {"calibration": [], "inference": []}
    for _ in range(turns):
        started = time.perf_counter()
        session = make_session(model)
        for batch in batches:
            session.run(None, {"input": batch})
        times["inference"].append(time.perf_counter() - started)
        started = time.perf_counter()
        onnxq.calibrate(model, batches, provider="cpu")
        times["calibration"].append(time.perf_counter() - started)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--images", type=int, nargs="*", default=[64, 512], help="for the time in turns")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[16, 64, 512], help="images, in processes of their own"
    )
    parser.add_argument("--peer-images", type=int, nargs="*", default=[16, 64], help="the same for ONNX Runtime's own")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], args.child[1], int(args.child[2]))
        return
    report: dict[str, Any] = {"arch": args.arch, "batch": BATCH, "turns": {}, "alone": {}}
    with tempfile.TemporaryDirectory() as folder:
        model = random_network(args.arch, Path(folder))
        print(f"{args.arch}, 224x224, batch {BATCH}, CPU, medians of {args.turns} turns", flush=True)
        for count in args.images:
            times = in_turns(model, count, args.turns)
            report["turns"][count] = times
            times_over = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
            plain, own = statistics.median(times["inference"]), statistics.median(times["calibration"])
            print(
                f"  {count:>4} images: inference {plain:.2f} s, calibration {own:.2f} s: {times_over:.2f} x", flush=True
            )
        for method in ("inference", "onnxq", *PEERS):
            counts = args.peer_images if method in PEERS else args.memory
            report["alone"][method] = [of_its_own(method, model, count) for count in counts]
    inference = {run["images"]: run["seconds"] for run in report["alone"]["inference"]}
    rows = [
        [
            method if method in ("onnxq", "inference") else f"ONNX Runtime {method}",
            str(run["images"]),
            f"{run['seconds']:.1f}",
            f"{run['seconds'] / inference[run['images']]:.2f}" if run["images"] in inference else "",
            f"{run['peak_mebibytes']:.0f}",
        ]
        for method, runs in report["alone"].items()
        for run in runs
    ]
    print(f"\n{table(['processes of their own', 'images', 'seconds', '/ inference', 'peak MiB'], rows)}")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
