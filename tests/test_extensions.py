"""What a user adds from outside is registered by an import, and used by name from Python and from YAML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from extensions import my_clipping, my_format, my_metric, my_step, my_target
from helpers import images, small_network
from onnx import numpy_helper

import onnxq
from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError

EXTENSIONS = (my_clipping, my_format, my_metric, my_step, my_target)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def statistics(network):
    return onnxq.calibrate(network, [images(32)])


def from_yaml(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return onnxq.load_recipe(str(path))


def test_each_is_short():
    assert all(len(Path(module.__file__).read_text().splitlines()) <= 30 for module in EXTENSIONS)


def test_a_clipping_rule(network, statistics, tmp_path):
    by_name = onnxq.Recipe.of("share", act_bits=8, bit_alloc="none")
    composed = from_yaml(tmp_path, "activations: {bits: 8, allocation: none, clipping: {share: {share: 0.25}}}")
    half, quarter, all_of_it = (
        onnxq.quantize(network, statistics, recipe).plan.activations["input"].upper  # type: ignore[attr-defined]
        for recipe in (by_name, composed, onnxq.Recipe.of("minmax", act_bits=8, bit_alloc="none"))
    )
    np.testing.assert_allclose(half, all_of_it / 2, rtol=0.02)
    np.testing.assert_allclose(quarter, all_of_it / 4, rtol=0.03)
    assert onnxq.Recipe.from_json(composed.to_json()) == composed
    with pytest.raises(OnnxqError, match=r"`share.share` must lie between 0\.01 and 1, not 3"):
        from_yaml(tmp_path, "activations: {clipping: {share: {share: 3}}}")
    with pytest.raises(OnnxqError, match=r"clipping rule share: part; its parameters are share"):
        from_yaml(tmp_path, "activations: {clipping: {share: {part: 3}}}")


def test_a_number_format(network, statistics, tmp_path):
    recipe = from_yaml(
        tmp_path,
        "{weights: {format: shift, bits: 8, allocation: none, correction: none},"
        " activations: {format: shift, bits: 8, allocation: none}}",
    )
    onnxq.save_model(network, tmp_path / "float.onnx")
    for name in (recipe, onnxq.Recipe.of("minmax", weights="shift", bit_alloc="none", weight_correction="none")):
        result = onnxq.quantize(network, statistics, name)
        scales = [weight.params.scale for weight in result.plan.weights.values()]  # type: ignore[attr-defined]
        assert len(scales) > 0
        assert all((np.log2(scale) % 1 == 0).all() for scale in scales)
    result = onnxq.quantize(network, statistics, recipe)
    assert all((np.log2(entry.scale) % 1 == 0).all() for entry in result.plan.activations.values())  # type: ignore[attr-defined]
    onnxq.save_model(result.model, tmp_path / "quantized.onnx")
    batches = [Batch(images(4), np.zeros(4, np.int64))]
    files = [tmp_path / "float.onnx", tmp_path / "quantized.onnx"]
    assert onnxq.evaluate(files, batches, metrics=["distance"])[1].values["sqnr"] > 20


def test_a_metric(network, statistics, tmp_path):
    recipe = from_yaml(tmp_path, "metrics: [largest-difference, distance]")
    onnxq.save_model(network, tmp_path / "float.onnx")
    onnxq.save_model(onnxq.quantize(network, statistics, recipe).model, tmp_path / "quantized.onnx")
    batches = [Batch(images(4), np.zeros(4, np.int64))]
    files = [tmp_path / "float.onnx", tmp_path / "quantized.onnx"]
    first, second = onnxq.evaluate(files, batches, metrics=recipe.metrics)
    assert first.values == {"largest": 0, "sqnr": float("inf")}
    assert second.values["largest"] > 0
    assert second.values["sqnr"] > 3


def test_a_step(network, statistics, tmp_path):
    recipe = from_yaml(tmp_path, "steps: [{shift-biases: {by: 0.5}}]")
    with pytest.raises(OnnxqError, match="need some"):
        onnxq.quantize(network, statistics, recipe)
    plan = onnxq.quantize(network, statistics, recipe, images=[images(2), images(4)]).plan
    bias = next(numpy_helper.to_array(w) for w in network.graph.initializer if w.name == "b1")
    np.testing.assert_allclose(plan.biases["Conv_a"], bias + 3)
    assert (plan.biases["Conv_b"] == 3).all(), "of a layer that had none"


def test_a_target(network, tmp_path):
    recipe = from_yaml(tmp_path, "weights: {bits: 7}\nactivations: {bits: 8}\ntarget: seven-bits\n")
    statistics = onnxq.calibrate(network, [images(32)], points="integer")
    result = onnxq.quantize(network, statistics, recipe)
    assert "for processors without VNNI" in result.notes
    assert (result.plan.weights["w2"].bits == 7).all()
    onnx.checker.check_model(result.model, full_check=True)
    with pytest.raises(OnnxqError, match=r"`weights\.bits` must be 7, 8 for this target, not 4"):
        onnxq.Recipe.of(target="seven-bits", act_bits=8)
