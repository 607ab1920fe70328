"""How fast do images arrive? Threads against worker processes against the cache, and evaluation while they decode.

    python benchmarks/loading.py [--images 512] [--json FILE]

Draws a folder of JPEG files of 500 x 375 pixels, ImageNet's mean size, and reads it with ImageNet's preprocessing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from timing import random_network

import onnxq
from onnxq.data.datasets import open_dataset
from onnxq.data.loader import Batch, Loader
from onnxq_cli.common import table


def draw(folder: Path, count: int) -> None:
    """Smooth random pictures with some noise: they compress as photographs do."""
    random = np.random.default_rng(0)
    (folder / "class").mkdir()
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375))
        noisy = np.clip(np.asarray(coarse) + random.normal(0, 6, (375, 500, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "class" / f"{index:05}.jpg", quality=90)


def seconds(batches: Iterable[Batch]) -> float:
    """Time to go through them."""
    started = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        draw(folder / "images", args.images)
        dataset = open_dataset(str(folder / "images"), "test")
        indices = range(args.images)
        loaders = {
            "threads": Loader(dataset, onnxq.Preprocessing(), indices),
            f"{args.workers} worker processes": Loader(
                dataset, onnxq.Preprocessing(), indices, workers=args.workers or 1
            ),
            "cache": Loader(dataset, onnxq.Preprocessing(), indices, cache=folder / "cache"),
        }
        for loader in loaders.values():
            seconds(loader)  # files into memory, images into the cache
        times: dict[str, list[float]] = {label: [] for label in loaders}
        for _ in range(args.turns):
            for label, loader in loaders.items():
                times[label].append(seconds(loader))
        model = random_network("resnet18", folder)
        result = onnxq.evaluate([model, model], loaders["threads"], provider="cpu")
        started = time.perf_counter()
        onnxq.evaluate([model, model], loaders["threads"], provider="cpu")
        whole = time.perf_counter() - started
    rows = [[label, f"{args.images / statistics.median(values):.0f}"] for label, values in times.items()]
    print(table([f"{args.images} JPEG files", "images/s"], rows))
    inference = sum(entry.seconds for entry in result)
    decoding = statistics.median(times["threads"])
    print(
        f"\nevaluating two files of ResNet-18 over one decoded stream: {whole:.1f} s; "
        f"inference {inference:.1f} s, decoding by itself {decoding:.1f} s, one after the other "
        f"{inference + 2 * decoding:.1f} s"
    )
    if args.json:
        report = {"images": args.images, "seconds": times, "evaluation": whole, "inference": inference}
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
