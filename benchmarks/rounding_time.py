"""How long `onnxq quantize` takes from a float file and images, and how much memory: calibration, rounding and writing.

    python benchmarks/rounding_time.py TESTBED [--only squeezenet] [--images 256] [--json FILE]

Each run is a process of its own. ResNet-50 is torchvision's, with random weights, on random images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rounding import rounding_cases

from onnxq_cli.common import table


def commands(testbed: str, images: int, folder: Path) -> dict[str, list[str]]:
    """Arguments of `onnxq quantize` by network."""
    found = {}
    for case in rounding_cases(testbed):
        classes = ["--classes", str(case.classes)] if case.classes else []
        found[case.model.stem] = [str(case.model), "--data", case.calibration, *classes, "-n", str(images)]
    found["resnet50"] = [str(folder / "resnet50.onnx"), "--data", str(folder / "images.npz"), "-n", str(images)]
    return found


def prepare(folder: Path, images: int) -> None:
    """ResNet-50 and its images."""
    export = ["onnxq", "export", "resnet50", "--weights", "none", "-o", str(folder / "resnet50.onnx")]
    subprocess.run(export, check=True)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 224, 224, 3), np.uint8)
    np.savez(folder / "images.npz", images=pixels, labels=np.zeros(images, np.int64))


def measure(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB."""
    command = ["onnxq", "quantize", *arguments, "--bits", "4", "-o", str(folder / "out.onnx")]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("testbed")
    parser.add_argument("--only", nargs="*", metavar="TEXT", help="networks whose name contains one of these")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network, arguments in commands(args.testbed, args.images, folder).items():
            if args.only and not any(text in network for text in args.only):
                continue
            if network == "resnet50":
                prepare(folder, args.images)
            seconds, memory = measure(arguments, folder)
            rows.append({"network": network, "images": args.images, "seconds": seconds, "peak_mib": memory})
            print(rows[-1], flush=True)
    cells = [[row["network"], f"{row['seconds']:.1f} s", f"{row['peak_mib']:.0f} MiB"] for row in rows]
    print(table(["network", f"{args.images} images", "peak memory"], cells))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
