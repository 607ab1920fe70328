"""The networks and images that accuracy is measured on, and how."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import onnxq
from onnxq.data.datasets import open_dataset
from onnxq.data.demo.models import DEMO_MODELS, bundled_model
from onnxq.data.loader import Loader, choose
from onnxq.evaluation.evaluate import Evaluation
from onnxq.graph.model_files import load_model, metadata, save_model
from onnxq.recipe import POINTS, Recipe
from onnxq_cli.eval import results_table

AT_ONCE = 16  # files that are evaluated side by side: each holds its activations


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
    """The networks of the ``demo``, or of a testbed folder with models/*.onnx, cifar10/{calib,test} and imagenet500."""
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


def images_of(case: Case) -> tuple[list[NDArray[np.float32]], Loader]:
    """The calibration batches, in memory, and the test images."""
    preprocessing = onnxq.Preprocessing.from_metadata(metadata(load_model(case.model)))
    assert preprocessing is not None
    calibration = open_dataset(case.calibration, "calib", case.classes)
    loader = Loader(calibration, preprocessing, choose(len(calibration), case.calibration_images))
    test = open_dataset(case.test, "test", case.classes)
    arrays = [batch.images for batch in loader if isinstance(batch.images, np.ndarray)]
    return arrays, Loader(test, preprocessing, choose(len(test), case.test_images))


def measure(case: Case, recipes: Mapping[str, Recipe], points: Sequence[str]) -> list[Evaluation]:
    """Calibrate, write a file for each recipe, evaluate all: the float network first, then in the order of ``recipes``.

    Paths of the result are the labels.
    """
    images, tests = images_of(case)
    statistics = {
        name: onnxq.calibrate(case.model, images, provider="cpu", points=name, moving_percentile=99.99)
        for name in points
    }
    results: list[Evaluation] = []
    labels = list(recipes)
    with tempfile.TemporaryDirectory() as folder:
        original = Path(shutil.copy(case.model, folder))
        for start in range(0, len(labels), AT_ONCE):
            files = [original]
            for label in labels[start : start + AT_ONCE]:
                recipe = recipes[label]
                seen = statistics[POINTS.name_of(recipe.resolved_points)]
                result = onnxq.quantize(case.model, seen, recipe, images=images, provider="cpu")
                files.append(Path(folder) / f"{len(files)}.onnx")
                save_model(result.model, files[-1])
            evaluations = onnxq.evaluate(files, tests, provider="cpu")
            names = [case.model.stem, *labels[start : start + AT_ONCE]]
            named = [dataclasses.replace(e, path=Path(name)) for e, name in zip(evaluations, names, strict=True)]
            results += named if not results else named[1:]
    return results


def report(source: str, recipes: Mapping[str, Recipe], points: Sequence[str], json_path: Path | None = None) -> None:
    """Measure recipes on all networks of a source, print a table of each, and write JSON if asked."""
    content = {}
    for case in cases(source):
        results = measure(case, recipes, points)
        print(f"\n{case.model.stem}: {results[0].images} images, calibrated on {case.calibration_images}\n")
        print(results_table(results), flush=True)
        content[case.model.stem] = [result.to_json() for result in results]
    if json_path:
        json_path.write_text(json.dumps(content, indent=2) + "\n")
