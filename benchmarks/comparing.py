"""What `onnxq compare --layers` costs: time beside an evaluation of both files, memory over the number of images.

    python benchmarks/comparing.py [--arch resnet50] [--images 64] [--json FILE]

Random weights, images of 224 x 224 in batches of 8, W4A4. Times are of whole calls, sessions included, in turns;
memory is the peak of a process of its own for a quarter of the images and for all of them.
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

import numpy as np
from numpy.typing import NDArray
from timing import peak_mebibytes, random_images

import onnxq
from onnxq.data.loader import Batch
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe

BATCH = 8
TURNS = 3


def batches(images: int) -> Iterator[NDArray[np.float32]]:
    """Made as they are asked for, so that memory is that of the comparison."""
    return (random_images(BATCH, seed) for seed in range(images // BATCH))


def main() -> None:
    """Print and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", nargs=3, metavar=("FLOAT", "QUANTIZED", "IMAGES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        onnxq.compare(arguments.peak[0], arguments.peak[1], batches(int(arguments.peak[2])), layers=True)
        print(peak_mebibytes())
        return
    with tempfile.TemporaryDirectory() as name:
        model, quantized = Path(name) / "float.onnx", Path(name) / "q.onnx"
        save_model(onnxq.export_model(arguments.arch, weights="none"), model)
        seen = onnxq.calibrate(model, batches(BATCH))
        save_model(onnxq.quantize(model, seen, Recipe.of(rounding="nearest")).model, quantized)
        spent: dict[str, list[float]] = {"evaluate": [], "compare": [], "compare --layers": []}
        for _ in range(TURNS):
            for label, seconds in spent.items():
                images = list(batches(arguments.images))
                started = time.perf_counter()
                if label == "evaluate":
                    labelled = [Batch(batch, np.zeros(len(batch), np.int64)) for batch in images]
                    onnxq.evaluate([model, quantized], labelled)
                else:
                    onnxq.compare(model, quantized, images, layers="layers" in label)
                seconds.append(time.perf_counter() - started)
        command = [sys.executable, __file__, "--peak", str(model), str(quantized)]
        peaks = {
            count: float(subprocess.run([*command, str(count)], capture_output=True, text=True, check=True).stdout)
            for count in (arguments.images // 4, arguments.images)
        }
    plain = statistics.median(spent["evaluate"])
    report = {
        "arch": arguments.arch,
        "images": arguments.images,
        "seconds": spent,
        "over_evaluate": {label: statistics.median(seconds) / plain for label, seconds in spent.items()},
        "peak_mebibytes": peaks,
    }
    print(json.dumps(report, indent=1))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
