"""Bits across layers: against one width, against what was predicted, against sizes and losses that were asked for.

    python benchmarks/budgets.py TESTBED [--only same-bytes ...] [--models squeezenet1_0 ...] [--json FILE]

same-bytes    W3A8 with one width (8 bits at the ends), and a file of the same bytes by ``size``: images that differ
drop          ``max_drop`` 1 on the calibration images: lost there and on the test images, seconds, evaluations
correlation   30 random assignments of 2 to 8 bits: predicted effect and true distance on images held back; with
              ``--others`` also of what random output directions predict, and pairs of layers (``predictors.py``)
sizes         files of three sizes by ``size``: how close they come
TESTBED has ``models/`` and images as README of the project's testbed says.
"""

from __future__ import annotations

import argparse
import glob
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from predictors import Pairs, effects_by_directions

import onnxq
from onnxq.core.feeds import as_batch
from onnxq.flow import measure_sensitivity
from onnxq.graph.model_files import load_model, metadata, save_model
from onnxq.recipe import Recipe
from onnxq.refine.alone import effects_alone
from onnxq.refine.sensitivity import left_over
from onnxq.search.drop import smallest_within
from onnxq.search.judge import Judge

MODELS = ("squeezenet1_0", "efficientnet_lite0", "resnet20_cifar10", "resnet56_cifar10")
PARTS = ("same-bytes", "drop", "correlation", "sizes")
IMAGES = 128
ASSIGNMENTS = 30


class Network:
    """A network of the testbed and its images."""

    def __init__(self, testbed: Path, name: str, count: int) -> None:
        self.path, self.name = testbed / "models" / f"{name}.onnx", name
        if "cifar" in name:
            calibration, test, classes = testbed / "cifar10" / "calib", testbed / "cifar10" / "test", None
        else:
            calibration, test = testbed / "imagenet500", testbed / "imagenet_val650"
            classes = testbed / "imagenet500_classes.txt"
        said = onnxq.Preprocessing.from_metadata(metadata(load_model(self.path)))
        assert said is not None  # of the testbed's models
        seen, tests = (
            onnxq.open_dataset(str(calibration), "calib", classes),
            onnxq.open_dataset(str(test), "test", classes),
        )
        few = onnxq.Loader(seen, said, onnxq.choose(len(seen), count), batch_size=16)
        self.batches = [as_batch(batch.images) for batch in few]
        self.judging = onnxq.Loader(seen, said, range(len(seen)), batch_size=16)
        self.tests = onnxq.Loader(tests, said, range(len(tests)), batch_size=16)
        self.statistics = onnxq.calibrate(self.path, self.batches)

    def quantized(self, file: Path, **options: Any) -> tuple[float, tuple[str, ...]]:
        """Write a file; seconds, and notes."""
        started = time.perf_counter()
        result = onnxq.quantize(self.path, self.statistics, Recipe.of(act_bits=8, **options), images=self.batches)
        save_model(result.model, file)
        return time.perf_counter() - started, result.notes

    def tested(self, file: Path) -> dict[str, float]:
        """Top-1, and how many test images differ."""
        _, own = onnxq.evaluate([self.path, file], self.tests)
        return {"top1": own.top1, "disagreements": own.values["disagreements"], "images": own.images, "bytes": own.size}


def same_bytes(network: Network, folder: Path) -> dict[str, Any]:
    """One width, and bits across layers in as many bytes."""
    one, across = folder / "one.onnx", folder / "across.onnx"
    network.quantized(one, weight_bits=3)
    seconds, notes = network.quantized(across, weight_bits=3, size=one.stat().st_size)
    found = {"one width": network.tested(one), "across layers": network.tested(across)}
    ratio = found["across layers"]["disagreements"] / max(found["one width"]["disagreements"], 1)
    return {**found, "ratio of disagreements": ratio, "seconds": seconds, "bits": notes[-1]}


def drop(network: Network, folder: Path) -> dict[str, Any]:
    """The smallest file that loses at most a point."""
    started = time.perf_counter()
    judge = Judge(network.path, network.judging, ("classification", "agreement"))
    found = smallest_within(1.0, judge, None, Recipe.of(act_bits=8), network.batches)
    best, tried = found.best, found.tried
    seconds = time.perf_counter() - started
    rows = [vars(candidate) for candidate in tried]
    if best is None:
        return {"tried": rows, "seconds": seconds, "found": None}
    file, uniform = folder / "small.onnx", folder / "uniform.onnx"
    save_model(best.model, file)
    network.quantized(uniform, weight_bits=4)
    _, own = onnxq.evaluate([network.path, file], network.tests)
    exact, plain = onnxq.evaluate([network.path, uniform], network.tests)
    return {
        "tried": rows,
        "seconds": seconds,
        "found": network.tested(file),
        "lost on test images": exact.top1 - own.top1,
        "uniform W4A8": {"bytes": plain.size, "lost": exact.top1 - plain.top1, **plain.values},
    }


def correlation(network: Network, folder: Path, rounding: str, others: bool) -> dict[str, Any]:
    """Ranks of predicted effects and of true distances, of random assignments."""
    recipe = Recipe.of(weight_bits=4, act_bits=8, rounding=rounding)
    pairs = Pairs()
    with patch("onnxq.refine.sensitivity.effects_alone", pairs if others else effects_alone):
        known = measure_sensitivity(network.path, network.statistics, recipe, network.batches)
    if others:
        with patch("onnxq.refine.sensitivity.effects_alone", effects_by_directions):
            other = measure_sensitivity(network.path, network.statistics, recipe, network.batches)
    random = np.random.default_rng(0)
    left = left_over(recipe.resolved().rounding, len(known.layers))
    predicted, each_alone, by_pairs, by_directions, true, plain = [], [], [], [], [], []
    tests = [as_batch(batch.images) for batch in network.tests][:8]
    for _ in range(ASSIGNMENTS):
        widths = {
            layer.name: int(bits)
            for layer, bits in zip(known.layers, random.integers(2, 9, len(known.layers)), strict=True)
        }
        overrides = [{"layers": glob.escape(name), "weight_bits": bits} for name, bits in widths.items()]
        network.quantized(folder / "random.onnx", weight_bits=4, rounding=rounding, overrides=overrides)
        (found,) = onnxq.compare(network.path, [folder / "random.onnx"], tests)
        assert found.outputs[0].sqnr is not None
        true.append(-found.outputs[0].sqnr)
        predicted.append(known.predicted(widths))
        each_alone.append(
            sum(layer.effect(widths[layer.name]) / share for layer, share in zip(known.layers, left, strict=True))
        )
        if others:
            by_pairs.append(pairs.predicted(known, widths))
            by_directions.append(other.predicted(widths))
        plain.append(-1.0 * sum(layer.weights * widths[layer.name] for layer in known.layers))
    ways: dict[str, list[float]] = {"": predicted, " where nothing is made up for": each_alone, " by bytes": plain}
    if others:
        ways |= {" with pairs of layers": by_pairs, " by random directions": by_directions}
    return {
        "rounding": rounding,
        **{f"rank correlation{how}": _rank_correlation(values, true) for how, values in ways.items()},
        **{f"predicted{how}": values for how, values in ways.items()},
        "decibels": [-value for value in true],
    }


def _rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's."""
    ranks = np.array([np.argsort(np.argsort(values)) for values in (a, b)])
    return float(np.corrcoef(ranks)[0, 1])


def sizes(network: Network, folder: Path) -> dict[str, Any]:
    """Bytes over those asked for, of three sizes between 2 and 8 bits throughout."""
    bounds = []
    for bits in (2, 8):
        network.quantized(folder / "bound.onnx", weight_bits=bits, rounding="nearest", edge_bits=bits)
        bounds.append((folder / "bound.onnx").stat().st_size)
    known = folder / "known.json"
    measure_sensitivity(
        network.path, network.statistics, Recipe.of(act_bits=8, rounding="nearest"), network.batches
    ).save(known)
    found = {}
    for share in (0.2, 0.5, 0.8):
        size = int(bounds[0] + share * (bounds[1] - bounds[0]))
        network.quantized(folder / "sized.onnx", size=size, sensitivity=str(known), rounding="nearest")
        found[str(size)] = (folder / "sized.onnx").stat().st_size / size
    return found


def main() -> None:
    """Print JSON as results come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("testbed", type=Path)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    parser.add_argument("--rounding", default="gptq", help="of correlation")
    parser.add_argument("--others", action="store_true", help="correlation: also of what predicts otherwise")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report: dict[str, Any] = {}
    for name in given.models:
        network = Network(given.testbed, name, given.images)
        report[name] = {"images": given.images}
        for part in given.only:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                if part == "correlation":
                    made = correlation(network, folder, given.rounding, given.others)
                else:
                    made = {"same-bytes": same_bytes, "drop": drop, "sizes": sizes}[part](network, folder)
            report[name][part] = made
            print(name, part, json.dumps(made), flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
