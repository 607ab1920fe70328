"""Errors of metrics: against formulas, and counts of batches against one pass."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.errors import OnnxqError
from onnxq.evaluation.chance import GROUPS, counted_by_batch, standard_error
from onnxq.evaluation.shards import together
from onnxq.graph.model_files import metadata


def test_of_a_mean_it_is_the_usual_one():
    """The jackknife's error of a mean is s / sqrt(n)."""
    values = np.random.default_rng(0).normal(size=40)
    want = values.std(ddof=1) / np.sqrt(40)
    assert standard_error(list(values), np.mean, [1] * 40) == pytest.approx(want, rel=1e-12)


def test_a_small_last_batch():
    """Counts as much as it is: of 33 images, 32 and one, or 20 batches and one of a single image."""

    def mean(parts):
        return float(np.mean(np.concatenate(parts)))

    random = np.random.default_rng(1)
    found = []
    for _ in range(400):
        tosses = random.integers(0, 2, 321)
        parts = [tosses[start : start + 16] for start in range(0, 321, 16)]
        found.append(standard_error(parts, mean, [len(part) for part in parts]))
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.5 / np.sqrt(321), rel=0.1)


def test_parts_without_which_nothing_can_be_said():
    def value(parts):
        if 0.0 not in parts:
            raise OnnxqError("no zero")
        return float("nan") if 1.0 not in parts else float(np.mean(parts))

    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert standard_error(values, value, [1] * 6) > 0


@pytest.mark.parametrize("count", [2, 63, 64, 65, 1000])
def test_groups_are_about_as_good(count):
    """The mean of coin tosses, over many draws: within what so few groups know."""
    random = np.random.default_rng(count)
    found = [standard_error(list(random.integers(0, 2, count)), np.mean, [1] * count) for _ in range(200)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.5 / np.sqrt(count), rel=0.15)
    assert GROUPS == 64


def test_of_one_part_nothing_is_known():
    assert standard_error([1.0], np.mean, [1]) == 0.0


def test_batches_add_up(small_model, small_data, tmp_path):
    """To what one pass counts, of several metrics and files."""
    preprocessing = onnxq.Preprocessing.from_metadata(metadata(onnx.load(small_model)))
    loader = onnxq.Loader(onnxq.open_dataset(str(small_data), "test"), preprocessing, range(20), 3)
    result = onnxq.quantize(small_model, None, onnxq.Recipe.of(weight_bits=2, act_bits=4), images=loader.images)
    onnxq.save_model(result.model, tmp_path / "q.onnx")
    paths, metrics = [small_model, tmp_path / "q.onnx"], ("classification", "agreement")
    seen: list[int] = []
    parts = counted_by_batch(paths, loader, metrics, "cpu", seen.append)
    assert [part.images for part in parts] == seen == [3] * 6 + [2]
    whole = onnxq.evaluate(paths, loader, metrics=metrics)
    assert [each.values for each in together(paths, parts, metrics)] == [each.values for each in whole]
