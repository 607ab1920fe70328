"""How much of torchvision's networks computes with integers in ONNX Runtime: onnxq's files beside quantize_static's.

    python benchmarks/fused.py [--only mobilenet] [--json FILE]

Random weights, small images, W4A8; by ``onnxq check``: layers (Conv, Gemm and the like) and other operators that stay
in float after optimization.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from integer import theirs
from onnxruntime.quantization import CalibrationMethod

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq_cli.common import table

SIZES = {
    **dict.fromkeys(("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"), 64),
    **dict.fromkeys(("efficientnet_b0", "efficientnet_v2_s", "shufflenet_v2_x1_0", "mnasnet1_0", "densenet121"), 64),
    **dict.fromkeys(("googlenet", "regnet_y_400mf", "regnet_x_400mf", "squeezenet1_0", "convnext_tiny"), 64),
    **{"inception_v3": 96, "vgg11": 224, "alexnet": 224},
}
IMAGES = 4


def measure(arch: str, folder: Path) -> list[dict[str, Any]]:
    """A row for onnxq's file and one for quantize_static's."""
    model = folder / f"{arch}.onnx"
    save_model(onnxq.export_model(arch, weights="none", size=SIZES[arch]), model)
    shape = (IMAGES, 3, SIZES[arch], SIZES[arch])
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    recipe = Recipe.of(weight_bits=4, act_bits=8, target="onnxruntime", rounding="nearest")
    seen = onnxq.calibrate(model, [images], provider="cpu", points="integer")
    save_model(onnxq.quantize(model, seen, recipe).model, folder / "ours.onnx")
    files = {"onnxq": folder / "ours.onnx"}
    files["quantize_static"] = theirs(model, folder / "theirs.onnx", [images], CalibrationMethod.MinMax)
    rows = []
    for label, path in files.items():
        found = onnxq.check(path)
        left = {layer.name: layer.why for layer in found.in_float}
        row = {"network": arch, "file": label, "layers": len(found.layers), "in_float": left, "others": found.others}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", metavar="TEXT", help="networks whose name contains one of these")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ort.set_default_logger_severity(3)
    rows = []
    for arch in SIZES:
        if args.only and not any(text in arch for text in args.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = measure(arch, Path(folder))
        rows += found
        print(*found, sep="\n", flush=True)
    cells = [
        [
            f"{row['network']} {row['file']}",
            f"{row['layers'] - len(row['in_float'])} of {row['layers']}",
            ", ".join(f"{name} {count}" for name, count in row["others"].items()),
        ]
        for row in rows
    ]
    print(table(["", "integer layers", "others in float"], cells))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
