"""What does `onnxq quantize` cost, over the size of the network? Default settings, a process of its own each time.

python benchmarks/quantizing.py [--archs resnet18 ...] [--turns 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import peak_mebibytes, random_images, random_network

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq_cli.common import table

ARCHS = ("resnet18", "resnet50", "resnet152", "vgg16", "mobilenet_v2")


def child(model: str, statistics_file: str) -> None:
    """Quantize and save; print seconds, without imports, and the peak resident memory in MiB."""
    started = time.perf_counter()
    save_model(onnxq.quantize(model, statistics_file, Recipe.of()).model, f"{model}.quantized")
    print(time.perf_counter() - started, peak_mebibytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", nargs="*", default=ARCHS)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return
    report, rows = {}, []
    for arch in args.archs:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            model = random_network(arch, folder)
            onnxq.calibrate(model, [random_images(4)], provider="cpu").save(folder / "stats.npz")
            command = [sys.executable, __file__, "--child", str(model), str(folder / "stats.npz")]
            runs = [
                list(map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()))
                for _ in range(args.turns)
            ]
            size = model.stat().st_size
        seconds, peak = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
        report[arch] = {"bytes": size, "seconds": [run[0] for run in runs], "peak_mebibytes": peak}
        times = peak * 2**20 / size
        rows.append([arch, f"{size / 1e6:.0f}", f"{seconds:.1f}", f"{peak:.0f}", f"{times:.1f}"])
    print(table(["", "float MB", "seconds", "peak MiB", "peak / float"], rows))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
