"""The options of `onnxq quantize`, recipes, and `onnxq eval --entropy`."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
from cli.test_cli import calibrated, onnxq  # noqa: F401  # a fixture
from onnx import numpy_helper

from onnxq.errors import OnnxqError
from onnxq.evaluation.code_rates import code_rates, mean_rate
from onnxq.evaluation.entropy import huffman_lengths, huffman_rate, shannon_entropy
from onnxq.graph.model_files import metadata
from onnxq.recipe import Override, Recipe
from onnxq.recipe.files import load_recipe, recipe_names
from onnxq.recipe.points.inputs import Inputs
from onnxq.recipe.points.outputs import Outputs


def recipe_of(path):
    return Recipe.from_json(metadata(onnx.load(path))["onnxq.recipe"])


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_with_onnxq(name):
    recipe = load_recipe(name)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert isinstance(recipe.resolved_points, Outputs if name.startswith("aciq-paper/") else Inputs)
    out, _ = onnxq("recipes")
    assert name in out


def test_the_default_recipe_is_the_default():
    assert load_recipe("default").resolved() == Recipe().resolved()


def test_a_recipe_can_be_shown_changed_and_overridden(small_model, calibrated, tmp_path):  # noqa: F811
    text, _ = onnxq("recipes", "default")
    mine, quantized = tmp_path / "mine.yaml", tmp_path / "q.onnx"
    mine.write_text(text.replace("act_bits: 4", "act_bits: 5.5") + "skip: ['Gemm*']\n")
    onnxq("quantize", small_model, "--stats", calibrated, "--recipe", mine, "--weight-bits", 3, "-o", quantized)
    written = recipe_of(quantized)
    assert (written.activations.bits, written.weights.bits) == (5.5, 3)
    assert written.overrides == (Override("Gemm*", skip=True),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("bits: 4", "bits; the fields are"), ("- a", "not a list of fields"), ("scheme: [", "is not YAML"), ("scheme: best", "use one of"),
     ("act_bits: four", "must be a number")],
)  # fmt: skip
def test_wrong_recipes(text, problem, small_model, calibrated, tmp_path):  # noqa: F811
    mine, quantized = tmp_path / "mine.yaml", tmp_path / "q.onnx"
    mine.write_text(text)
    _, err = onnxq("quantize", small_model, "--stats", calibrated, "--recipe", mine, "-o", quantized, ok=False)
    assert problem in err
    assert not quantized.exists()


def test_unknown_recipe(small_model, calibrated, tmp_path):  # noqa: F811
    _, err = onnxq("quantize", small_model, "--stats", calibrated, "--recipe", "x", "-o", tmp_path / "q", ok=False)
    assert "onnxq recipes" in err
    with pytest.raises(OnnxqError, match="no recipe aciq-paper/nothing"):
        load_recipe("aciq-paper/nothing")


def test_the_float_model_is_not_overwritten(small_model, calibrated):  # noqa: F811
    before = small_model.read_bytes()
    _, err = onnxq("quantize", small_model, "--stats", calibrated, "-o", small_model, ok=False)
    assert "is an input, too" in err
    assert small_model.read_bytes() == before


def test_biases_from_images(small_model, small_data, calibrated, tmp_path):  # noqa: F811
    quantized = tmp_path / "q.onnx"
    asked = ["quantize", small_model, "--stats", calibrated, "--bias-correction", "images", "-o", quantized]
    _, err = onnxq(*asked, ok=False)
    assert "give --data" in err
    onnxq(*asked, "--data", small_data, "-n", 10)
    assert [type(step).__name__ for step in recipe_of(quantized).steps] == ["CorrectBiasesOnImages"]


def test_placement_of_statistics(small_model, small_data, calibrated, tmp_path):  # noqa: F811
    stats, quantized = tmp_path / "outputs.npz", tmp_path / "q.onnx"
    _, err = onnxq("quantize", small_model, "--stats", calibrated, "--placement", "outputs", "-o", quantized, ok=False)
    assert "calibrate` again, with the same --placement" in err
    onnxq("calibrate", small_model, "--data", small_data, "-n", 10, "--placement", "outputs", "-o", stats)
    onnxq("quantize", small_model, "--stats", stats, "--recipe", "aciq-paper/w4a4-all", "-o", quantized)
    assert recipe_of(quantized).activations.dynamic


def test_entropy_of_codes(small_model, small_data, calibrated, tmp_path):  # noqa: F811
    report = tmp_path / "r.json"
    files = []
    for number, options in enumerate(
        [
            [],
            ["--scheme", "mid-tread"],
            ["--weights", "kmeans"],
            ["--ranges", "dynamic", "--scheme", "minmax"],
            ["--scheme", "apot"],
            ["--scheme", "fixed-point", "--bits", "8"],
            ["--scheme", "histogram"],
        ]
    ):
        files.append(tmp_path / f"{number}.onnx")
        onnxq("quantize", small_model, "--stats", calibrated, *options, "-o", files[-1])
    out, _ = onnxq("eval", small_model, *files, "--data", small_data, "--entropy", "--json", report)
    assert "all activations" in out
    float_file, *entries = json.loads(report.read_text())["models"]
    assert float_file["codes"] == []
    for entry in entries:
        assert {code["kind"] for code in entry["codes"]} == {"weight", "activation"}
        for code in entry["codes"]:
            assert code["entropy"] <= code["huffman"] <= max(code["entropy"] + 1, 1)
            if code["kind"] == "weight":
                weight = next(w for w in onnx.load(small_model).graph.initializer if w.name == code["name"])
                assert code["values"] == int(np.prod(weight.dims))


def test_rates_of_known_codes(small_model, calibrated, tmp_path):  # noqa: F811
    """The weights' rate is that of the codes of the plan."""
    import onnxq as library

    result = library.quantize(small_model, calibrated, Recipe.of())
    library.save_model(result.model, tmp_path / "q.onnx")
    rates = {rate.name: rate for rate in code_rates(tmp_path / "q.onnx", [np.zeros((1, 3, 8, 8), np.float32)])}
    for name, coded in result.plan.weights.items():
        counts = np.unique(coded.codes, return_counts=True)[1]
        assert rates[name].entropy == shannon_entropy(counts)
        assert rates[name].huffman == huffman_rate(counts)
    assert mean_rate(rates.values(), "weight", "fixed") > 4


def test_huffman_is_a_prefix_code_within_one_bit_of_entropy():
    random = np.random.default_rng(0)
    for size in (1, 2, 3, 16, 200):
        counts = random.geometric(0.01, size) * random.integers(0, 2, size)
        lengths = huffman_lengths(counts)
        assert ((lengths > 0) == (counts > 0)).all()
        if (counts > 0).sum() > 1:
            assert (2.0 ** -lengths[lengths > 0]).sum() == 1, "Kraft"
            assert shannon_entropy(counts) <= huffman_rate(counts) < shannon_entropy(counts) + 1
    assert huffman_lengths(np.array([0, 5])).tolist() == [0, 1]


def test_weights_alone_need_no_statistics(small_model, calibrated, tmp_path):  # noqa: F811
    quantized, corrected = tmp_path / "q.onnx", tmp_path / "c.onnx"
    out, _ = onnxq("quantize", small_model, "--weight-bits", 4, "--act-bits", "none", "-o", quantized)
    assert "W4, 4 layers" in out
    assert not [node for node in onnx.load(quantized).graph.node if node.op_type.startswith("FakeQuantize")]
    onnxq("quantize", small_model, "--stats", calibrated, "--bits", 4, "--act-bits", "none", "-o", corrected)
    assert "without statistics" in out
    biases = [numpy_helper.to_array(w).tolist() for w in onnx.load(quantized).graph.initializer if w.name == "b1"]
    assert biases, "not corrected"
    assert "b1" not in {w.name for w in onnx.load(corrected).graph.initializer}
    _, err = onnxq("quantize", small_model, "--bits", 4, "-o", quantized, ok=False)
    assert "--stats" in err


def test_thresholds_file(small_model, calibrated, tmp_path):  # noqa: F811
    thresholds, quantized = tmp_path / "alpha.yaml", tmp_path / "q.onnx"
    thresholds.write_text('"*": {weight: 3.0, activation: 6.0}\n')
    asked = ["quantize", small_model, "--stats", calibrated, "--scheme", "apot", "--alpha", thresholds, "-o", quantized]
    onnxq(*asked)
    (override, _) = recipe_of(quantized).overrides
    assert (override.weight_format.threshold, override.act_format.threshold) == (3.0, 6.0)
    for text in ("a: [", "a: {weight: -1}", "- a", "3"):
        thresholds.write_text(text)
        _, err = onnxq(*asked, ok=False)
        assert "alpha" in err


def test_integer_files(small_model, small_data, tmp_path):
    stats, quantized = tmp_path / "integer.npz", tmp_path / "q.onnx"
    placed = ["--placement", "integer"]
    onnxq("calibrate", small_model, "--data", small_data, "-n", 10, *placed, "-o", stats)
    onnxq("quantize", small_model, "--stats", stats, *placed, "--format", "qdq", "--bits", 8, "-o", quantized)
    assert recipe_of(quantized).resolved().activations.granularity == "per-tensor"
    out, _ = onnxq("eval", small_model, quantized, "--data", small_data)
    assert "q.onnx" in out


def test_equalize(small_model, calibrated, small_data, tmp_path):  # noqa: F811
    equal = tmp_path / "equal.onnx"
    out, _ = onnxq("equalize", small_model, "--stats", calibrated, "-o", equal)
    assert "tensors scaled" in out
    assert metadata(onnx.load(equal)) == metadata(onnx.load(small_model))
    table, _ = onnxq("eval", small_model, equal, "--data", small_data)
    assert "0.0 %" in table
    before = small_model.read_bytes()
    _, error = onnxq("equalize", small_model, "--stats", calibrated, "-o", small_model, ok=False)
    assert "is an input, too" in error
    assert small_model.read_bytes() == before
    _, error = onnxq("equalize", equal, "--stats", calibrated, "-o", tmp_path / "x.onnx", ok=False)
    assert "another model" in error


def test_tensorrt_files(small_model, calibrated, tmp_path):  # noqa: F811
    asked = ["--format", "qdq", "--target", "tensorrt", "--bits", 8]
    out, _ = onnxq("quantize", small_model, "--stats", calibrated, *asked, "-o", tmp_path / "trt.onnx")
    assert "as TensorRT requires" in out
    assert recipe_of(tmp_path / "trt.onnx").resolved().activations.granularity == "per-tensor"


def test_workers_and_cache(small_model, small_data, tmp_path):
    tables = [
        onnxq("eval", small_model, "--data", small_data, *options)[0].rsplit(" ", 1)[0]
        for options in ([], ["--workers", 2], ["--cache", tmp_path / "c"], ["--cache", tmp_path / "c"])
    ]
    assert len({table.split("images/s")[1].rsplit(maxsplit=1)[0] for table in tables}) == 1
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_bit_true_and_renormalized_files(small_model, small_data, tmp_path):
    stats, quantized = tmp_path / "every.npz", tmp_path / "q.onnx"
    placed = ["--placement", "every-op"]
    onnxq("calibrate", small_model, "--data", small_data, "-n", 10, *placed, "-o", stats)
    asked = ["--scheme", "fixed-point", "--bits", 12, "--bit-true", "--renormalize", "--data", small_data, "-n", 16]
    onnxq("quantize", small_model, "--stats", stats, *placed, *asked, "-o", quantized)
    written = recipe_of(quantized)
    assert written.activations.format.bit_true
    assert written.activations.bits == 12
    assert [step.passes for step in written.resolved_steps()] == [2]


def test_one_command_from_a_float_model_and_images(small_model, tmp_path):
    quantized, data = tmp_path / "q.onnx", tmp_path / "data.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)
    np.savez(data, images=pixels, labels=np.zeros(64, np.int64))
    out, _ = onnxq("quantize", small_model, "--data", data, "--weight-bits", 2, "-o", quantized)
    assert re.search(r"distance to float on 8 images held back: start \d\.\d{4}, gptq \d\.\d{4}\n", out)
    assert metadata(onnx.load(quantized))["onnxq.calibration_images"] == "56"
    nearest, _ = onnxq("quantize", small_model, "--data", data, "--rounding", "nearest", "-o", quantized)
    assert "gptq" not in nearest


def test_gptq_wants_images(small_model, calibrated, tmp_path):  # noqa: F811
    asked = ["quantize", small_model, "--stats", calibrated, "--rounding", "gptq", "-o", tmp_path / "q.onnx"]
    _, err = onnxq(*asked, ok=False)
    assert "give --data" in err
