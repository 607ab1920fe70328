"""What rounding by error feedback is worth: top-1, the share of images that differ from float, and the time it takes.

    python benchmarks/rounding.py TESTBED --out FOLDER [--only efficientnet squeezenet] [--widths W4A4 W2A4]
    python benchmarks/rounding.py demo --out FOLDER

Calibrated on 256 images of cifar10/calib or imagenet500, tested on cifar10/test or imagenet_val650. Rows are
added to FOLDER/rounding.json, and all of them are written as a table to FOLDER/rounding.txt.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from networks import Case, cases, images_of

import onnxq
from onnxq.core.statistics import Statistics
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq_cli.common import table

IMAGES = 256
WIDTHS = ("W4A8", "W4A4", "W3A8", "W3A3", "W2A8", "W2A4", "W4", "W3", "W2")
METHODS: dict[str, dict[str, Any]] = {
    "nearest": {"rounding": "nearest"},
    "gptq": {"rounding": "gptq"},
    "gptq, reconstruct": {"rounding": "gptq", "reconstruct": True},
    "gptq, a step a tensor": {"rounding": "gptq", "act_granularity": "per-tensor"},
    "gptq, bits by output": {"rounding": "gptq", "weights": {"allocation": "by-error"}},
    "gptq, alpha 0.5": {"steps": [{"gptq": {"alpha": 0.5}}], "clipping": "mse"},
    "gptq, seed 1": {"steps": [{"gptq": {"seed": 1}}], "clipping": "mse"},
    "gptq, seed 2": {"steps": [{"gptq": {"seed": 2}}], "clipping": "mse"},
}
ALL_WIDTHS = ("nearest", "gptq", "gptq, reconstruct")
FEW_WIDTHS = ("W4A8", "W4A4", "W3A8", "W3A3", "W2A4")  # of the others


def rounding_cases(source: str) -> list[Case]:
    """The networks, with the images that they are measured on here."""
    if source == "demo":
        return [dataclasses.replace(case, calibration_images=IMAGES) for case in cases("demo")]
    root = Path(source)
    cifar = str(root / "cifar10" / "calib"), IMAGES, str(root / "cifar10" / "test")
    imagenet = str(root / "imagenet500"), IMAGES, str(root / "imagenet_val650"), None, root / "imagenet500_classes.txt"
    return [
        Case(root / "models" / "resnet20_cifar10.onnx", *cifar),
        Case(root / "models" / "resnet56_cifar10.onnx", *cifar),
        Case(root / "models" / "squeezenet1_0.onnx", *imagenet),
        Case(root / "models" / "efficientnet_lite0.onnx", *imagenet),
    ]


def recipe_of(widths: str, method: dict[str, Any]) -> Recipe:
    """For example of W4A8, or of W4 for weights only."""
    weights, _, activations = widths[1:].partition("A")
    fields = {name: value for name, value in method.items() if name not in ("weights", "clipping")}
    recipe = Recipe.of(weight_bits=float(weights), act_bits=float(activations) if activations else None, **fields)
    of_weights = dataclasses.replace(recipe.weights, **method.get("weights", {}))
    if recipe.activations is not None and "clipping" in method:
        clipped = dataclasses.replace(recipe.activations, clipping=method["clipping"])
        recipe = dataclasses.replace(recipe, activations=clipped)
    return dataclasses.replace(recipe, weights=of_weights)


def measure(case: Case, widths: tuple[str, ...], methods: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each combination."""
    images, tests = images_of(case)
    seen = onnxq.calibrate(case.model, images, provider="cpu")
    rows: list[dict[str, Any]] = []
    for width in widths:
        for label in methods:
            if label not in ALL_WIDTHS and width not in FEW_WIDTHS:
                continue
            rows.append(_row(case, width, label, images, seen, tests))
            print(case.model.stem, rows[-1], flush=True)
    return rows


def _row(case: Case, width: str, label: str, images: list[Any], seen: Statistics, tests: Any) -> dict[str, Any]:
    recipe = recipe_of(width, METHODS[label])
    given = None if recipe.rounding == Recipe.of(rounding="nearest").rounding else images
    begun = time.perf_counter()
    result = onnxq.quantize(case.model, seen, recipe, images=given, provider="cpu")
    seconds = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        save_model(result.model, path)
        exact, quantized = onnxq.evaluate([case.model, path], tests, provider="cpu")
    return {
        "widths": width,
        "method": label,
        "float_top1": exact.top1,
        "top1": quantized.top1,
        "differs": quantized.values["differs"],
        "images": quantized.images,
        "seconds": round(seconds, 1),
        "bytes": quantized.size,
        "distances": [list(step) for step in result.distances.steps],
        "notes": list(result.notes),
    }


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by width and method, a new one in the place of an old one."""
    rows = {(row["widths"], row["method"]): row for row in (*old, *new)}
    order = [(width, method) for width in WIDTHS for method in METHODS]
    return [rows[key] for key in order if key in rows]


def text_of(results: dict[str, list[dict[str, Any]]]) -> str:
    """All results as tables."""
    parts = []
    for name, rows in results.items():
        float_top1 = next(row["float_top1"] for row in rows if "float_top1" in row)
        cells = [
            [row["widths"], row["method"], f"{row['top1']:.2f}", f"{row['differs']:.1f} %", f"{row['seconds']:.0f} s"]
            for row in rows
        ]
        head = f"{name}, float {float_top1:.2f}, {rows[0]['images']} test images"
        parts.append(f"{head}\n\n{table(['widths', 'rounding', 'top-1', 'differs', 'quantize'], cells)}\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", metavar="TEXT", help="networks whose name contains one of these")
    parser.add_argument("--widths", nargs="*", choices=WIDTHS, default=WIDTHS)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "rounding.json"
    for case in rounding_cases(args.source):
        if args.only and not any(text in case.model.stem for text in args.only):
            continue
        rows = measure(case, tuple(args.widths), tuple(args.methods))
        results = json.loads(file.read_text()) if file.exists() else {}
        results[case.model.stem] = merged(results.get(case.model.stem, []), rows)
        file.write_text(json.dumps(results, indent=1) + "\n")
        (args.out / "rounding.txt").write_text(text_of(results))


if __name__ == "__main__":
    main()
