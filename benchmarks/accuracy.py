"""How accurate are the files? Schemes and bits on a network, side by side over one pass of its test images.

    python benchmarks/accuracy.py TESTBED [--json FILE]
    python benchmarks/accuracy.py demo

TESTBED is a folder with models/*.onnx, cifar10/{calib,test} and imagenet500 (not part of the project); ``demo`` takes
the bundled model on the procedural images.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxq
from onnxq.bundled import DEMO_MODELS, bundled_model
from onnxq.datasets import open_dataset
from onnxq.files import load_model, metadata, save_model
from onnxq.loader import Loader, choose
from onnxq.recipe import Placement, Recipe
from onnxq_cli.eval import results_table

PLACEMENTS: tuple[Placement, ...] = ("inputs", "outputs")
WIDTHS = ((4, 4), (8, 4), (4, 8), (3, 3), (2, 4))


@dataclass(frozen=True)
class Case:
    """A network with its data."""

    model: Path
    calibration: str
    calibration_images: int
    test: str
    test_images: int | None = None
    classes: Path | None = None


def cases(source: str) -> list[Case]:
    """The networks of the demo or of a testbed."""
    if source == "demo":
        return [Case(bundled_model(name), "demo", 256, "demo", 1000) for name in DEMO_MODELS]
    root = Path(source)
    cifar = str(root / "cifar10" / "calib"), 256, str(root / "cifar10" / "test")
    imagenet = str(root / "imagenet500")
    return [
        Case(root / "models" / "resnet20_cifar10.onnx", *cifar),
        Case(root / "models" / "resnet56_cifar10.onnx", *cifar),
        Case(root / "models" / "squeezenet1_0.onnx", imagenet, 64, imagenet, None, root / "imagenet500_classes.txt"),
    ]


def recipes() -> dict[str, Recipe]:
    """What is compared: schemes at W8A8, and every method by itself and with the others at the widths of WIDTHS."""
    plain: dict[str, Any] = {"bit_alloc": "none", "weight_correction": "none", "bias_correction": "none"}
    published = {"scheme": "aciq-laplace", "bias_correction": "none", "published": True}
    methods: dict[str, dict[str, Any]] = {
        "naive, a range a tensor": {"scheme": "minmax", "act_granularity": "per-tensor", **plain},
        "minmax": {"scheme": "minmax", **plain},
        "percentile": {"scheme": "percentile", **plain},
        "entropy": {"scheme": "entropy", **plain},
        "mse": {"scheme": "mse", **plain},
        "aciq-gauss": {"scheme": "aciq-gauss", **plain},
        "aciq-laplace": {"scheme": "aciq-laplace", **plain},
        "aciq": plain,
        "aciq, bits a channel": {**plain, "bit_alloc": "both"},
        "aciq, weight correction": {**plain, "weight_correction": "mean"},
        "aciq, weight correction with variance": {**plain, "weight_correction": "mean-variance"},
        "aciq, bias correction": {**plain, "bias_correction": "statistics"},
        "default (all three)": {},
        "default, biases from images": {"bias_correction": "images"},
        "default, variance too": {"weight_correction": "mean-variance"},
        "default, mse": {"scheme": "mse"},
        "default, k-means weights": {"weights": "kmeans"},
        "default, dynamic aciq-laplace": {"scheme": "aciq-laplace", "ranges": "dynamic"},
        "published, everything": published,
        "published, at outputs": {**published, "placement": "outputs"},
    }
    named = {"w8a8 default": Recipe(act_bits=8, weight_bits=8)}
    for weight_bits, act_bits in WIDTHS:
        for label, fields in methods.items():
            named[f"w{weight_bits}a{act_bits} {label}"] = Recipe(act_bits=act_bits, weight_bits=weight_bits, **fields)
    return named


def measure(case: Case, folder: Path) -> list[onnxq.Evaluation]:
    """Calibrate, write a file for each recipe, evaluate all."""
    preprocessing = onnxq.Preprocessing.from_metadata(metadata(load_model(case.model)))
    assert preprocessing is not None
    calibration = open_dataset(case.calibration, "calib", case.classes)
    loader = Loader(calibration, preprocessing, choose(len(calibration), case.calibration_images))
    images = [batch.images for batch in loader]
    statistics = {
        placement: onnxq.calibrate(case.model, images, provider="cpu", placement=placement) for placement in PLACEMENTS
    }
    files = [Path(shutil.copy(case.model, folder))]
    for label, recipe in recipes().items():
        files.append(folder / f"{label}.onnx")
        seen = statistics[recipe.placement]
        save_model(onnxq.quantize(case.model, seen, recipe, images=images, provider="cpu").model, files[-1])
    test = open_dataset(case.test, "test", case.classes)
    return onnxq.evaluate(files, Loader(test, preprocessing, choose(len(test), case.test_images)), provider="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(args.source):
            results = measure(case, Path(folder))
            print(f"\n{case.model.stem}: {results[0].images} images, calibrated on {case.calibration_images}\n")
            print(results_table(results, Path(folder)))
            report[case.model.stem] = [{**result.to_json(), "path": result.path.name} for result in results]
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
