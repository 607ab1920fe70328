"""How fast are quantized files beside the float file? Files in turns, in ONNX Runtime on two threads.

    python benchmarks/throughput.py [--archs resnet50 ...] [--json FILE]

W4A4: onnxq operators simulate 4-bit activations (kernels; and function bodies, on stock ONNX Runtime). W4: packed 4-bit
weights, which are unpacked when the session loads. INT4: the same width as standard INT4 DequantizeLinear.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from timing import random_images, random_network, ratio, throughput

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.sessions import make_session
from onnxq_cli.common import table

WEIGHTS_ONLY: dict[str, Any] = {"act_bits": None, "weight_bits": 4, "bias_correction": "none"}
RECIPES = {
    "W4A4": Recipe.of(),
    "W8A8 simulated": Recipe.of(act_bits=8, weight_bits=8),
    "W4, edges 8": Recipe.of(**WEIGHTS_ONLY),
    "W4, edges 4": Recipe.of(**WEIGHTS_ONLY, edge_bits=4),
    "INT4 DequantizeLinear": Recipe.of(**WEIGHTS_ONLY, edge_bits=4, format="qdq"),
}


def measure(arch: str, folder: Path, turns: int) -> dict[str, Any]:
    """Speed, size and load time of every file of one network."""
    model = random_network(arch, folder)
    images = random_images(8)
    seen = onnxq.calibrate(model, [images], provider="cpu")
    files = {"float": model}
    for number, (label, recipe) in enumerate(RECIPES.items()):
        files[label] = folder / f"{arch}.{number}.onnx"
        save_model(onnxq.quantize(model, seen, recipe).model, files[label])
    rates = throughput(files, images, turns)
    bodies = throughput({label: files[label] for label in ("float", "W4A4")}, images, turns, native=False)
    rates["W4A4, function bodies"] = bodies["W4A4"]
    report: dict[str, Any] = {}
    for label, values in rates.items():
        path = files.get(label, files["W4A4"])
        started = time.perf_counter()
        make_session(path)
        report[label] = {
            "images_per_second": values,
            "over_float": ratio(
                {"a": values, "float": (bodies if "bodies" in label else rates)["float"]}, "a", "float"
            ),
            "bytes": path.stat().st_size,
            "size_over_float": path.stat().st_size / model.stat().st_size,
            "load_seconds": time.perf_counter() - started,
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", nargs="*", default=["resnet50", "mobilenet_v2"])
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for arch in args.archs:
            report[arch] = measure(arch, Path(folder), args.turns)
            rows = [
                [
                    label,
                    f"{statistics.median(entry['images_per_second']):.1f}",
                    f"{entry['over_float']:.3f}",
                    f"{entry['bytes'] / 1e6:.2f}",
                    f"{entry['size_over_float']:.4f}",
                    f"{entry['load_seconds']:.2f}",
                ]
                for label, entry in report[arch].items()
            ]
            headers = [f"{arch}, batch 8", "images/s", "/ float", "MB", "/ float", "load s"]
            print(f"\n{table(headers, rows)}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
