"""calibrate, quantize and evaluate on a small network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import images, parse, run, small_network
from onnx import numpy_helper

import onnxq
from onnxq.errors import OnnxqError
from onnxq.files import metadata
from onnxq.grids.uniform import fake_quantize
from onnxq.loader import Batch
from onnxq.recipe import SCHEMES, Recipe
from onnxq.runtime import find_library

NATIVE = [False, True] if find_library() else [False]


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def statistics(network):
    return onnxq.calibrate(network, [images(16, seed=seed) for seed in range(4)])


def intermediate(model, name, x):
    """The value of an inner tensor."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return run(copy, {"input": x}, native=False)[-1]


def test_calibration_sees_what_the_network_computes(network, statistics):
    x = np.concatenate([images(16, seed=seed) for seed in range(4)])
    assert set(statistics.tensors) == {"input", "a", "ra", "p", "f"}
    assert statistics.images == 64
    for name, seen in statistics.tensors.items():
        value = x if name == "input" else intermediate(network, name, x)
        axes = tuple(axis for axis in range(value.ndim) if axis != 1)
        np.testing.assert_allclose(seen.maximum, value.max(axis=axes), rtol=1e-5)
        tolerance = 1e-4 if name != "ra" else 2e-3  # derived from the histogram of "a"
        np.testing.assert_allclose(seen.mean, value.mean(axis=axes, dtype=np.float64), rtol=tolerance, atol=1e-6)
        np.testing.assert_allclose(seen.std, value.std(axis=axes, dtype=np.float64, ddof=1), rtol=tolerance)


@pytest.mark.skipif(len(NATIVE) < 2, reason="the native library was not built")
def test_calibration_is_the_same_without_the_library_and_in_other_batches(network, statistics):
    body = onnxq.calibrate(network, [images(16, seed=seed) for seed in range(4)], native=False)
    again = onnxq.calibrate(network, [images(16, seed=seed) for seed in range(4)])
    x = np.concatenate([images(16, seed=seed) for seed in range(4)])
    other_batches = onnxq.calibrate(network, [x[:50], x[50:]])
    for name, seen in statistics.tensors.items():
        for field in ("minimum", "maximum", "sum", "sum_squares", "histogram"):
            np.testing.assert_array_equal(getattr(again.tensors[name], field), getattr(seen, field))
            np.testing.assert_array_equal(getattr(body.tensors[name], field), getattr(seen, field))
        np.testing.assert_allclose(other_batches.tensors[name].b, seen.b, rtol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_files_run_anywhere_with_the_same_bits(network, statistics, scheme, granularity):
    recipe = Recipe(
        scheme=scheme, act_bits=3, weight_bits=5, act_granularity=granularity, weight_granularity=granularity
    )
    model = onnxq.quantize(network, statistics, recipe).model
    onnx.checker.check_model(model, full_check=True)
    x = images(4, seed=9)
    results = [run(model, {"input": x}, native=native)[0] for native in NATIVE]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    assert len(np.unique(results[0])) > 5


def test_the_file_computes_what_the_plan_says(network, statistics):
    """Conv by conv: replace weights and inputs by their fake-quantized values in numpy."""
    result = onnxq.quantize(network, statistics, Recipe(act_bits=3, weight_bits=4))
    x = images(4, seed=9)
    got = intermediate(result.model, "a", x)
    weights = {w.name: numpy_helper.to_array(w) for w in network.graph.initializer}
    quantized = fake_quantize(weights["w1"], result.plan.weights["w1"], 0)
    one = parse(
        "g (float[batch,3,8,8] input) => (float[batch,6,8,8] a) { a = Conv <pads = [1,1,1,1]> (input, w1, b1) }",
        {"w1": quantized, "b1": weights["b1"]},
    )
    want = run(one, {"input": fake_quantize(x, result.plan.activations["input"], 1)}, native=False)[0]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_more_bits_come_closer(network, statistics):
    x = images(32, seed=9)
    want = run(network, {"input": x}, native=False)[0]
    errors = [
        np.abs(
            run(
                onnxq.quantize(network, statistics, Recipe(scheme="minmax", act_bits=b, weight_bits=b)).model,
                {"input": x},
                native=False,
            )[0]
            - want
        ).mean()
        for b in (2, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * np.abs(want).mean()


def test_what_made_the_file_is_in_it(network, statistics):
    values = metadata(onnxq.quantize(network, statistics, Recipe(act_bits=5)).model)
    assert '"act_bits": 5' in values["onnxq.recipe"]
    assert values["onnxq.source"] == statistics.fingerprint
    assert values["onnxq.version"] == onnxq.__version__
    assert values["mean"] == "[0.5, 0.5, 0.5]"


def test_skipped_layers_stay_in_float(network, statistics):
    model = onnxq.quantize(network, statistics, Recipe(skip=("Gemm*",))).model
    names = {w.name for w in model.graph.initializer}
    assert "w4" in names
    assert "w1" not in names
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    assert gemm.input[0] == "f"


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_qdq_is_the_same_grid_in_standard_operators(network, statistics, bits, granularity):
    recipe = Recipe(act_bits=bits, weight_bits=bits, act_granularity=granularity, format="qdq")
    result = onnxq.quantize(network, statistics, recipe)
    onnx.checker.check_model(result.model, full_check=True)
    assert not [node for node in result.model.graph.node if node.domain]
    assert result.notes
    x = images(4, seed=9)
    got = intermediate(result.model, "ra/quantized", x)
    want = fake_quantize(intermediate(result.model, "ra", x), result.plan.activations["ra"], 1)
    np.testing.assert_allclose(got, want, atol=1e-6)
    weight = intermediate(result.model, "w3/dequantized", x)
    original = next(numpy_helper.to_array(w) for w in network.graph.initializer if w.name == "w3")
    np.testing.assert_allclose(weight, fake_quantize(original, result.plan.weights["w3"], 0), atol=1e-6)


def test_the_source_is_left_alone(statistics):
    model = small_network()
    before = model.SerializeToString(deterministic=True)
    onnxq.calibrate(model, [images(2)])
    onnxq.quantize(model, statistics, Recipe())
    onnxq.quantize(model, statistics, Recipe(format="qdq", weight_bits=2))
    assert model.SerializeToString(deterministic=True) == before


def test_statistics_of_another_model_are_refused(statistics):
    with pytest.raises(OnnxqError, match="belong to another model"):
        onnxq.quantize(small_network(seed=5), statistics, Recipe())


def test_nan_in_activations_is_named(network):
    x = images(4)
    x[2, 1, 3, 3] = np.nan
    with pytest.raises(OnnxqError, match="tensor input has NaN or infinite values on images 4 to 7"):
        onnxq.calibrate(network, [images(4), x])


def test_no_images_and_wrong_sizes(network):
    with pytest.raises(OnnxqError, match="no calibration images"):
        onnxq.calibrate(network, [])
    with pytest.raises(OnnxqError, match="cannot run on images of shape"):
        onnxq.calibrate(network, [images(2, (3, 9, 9))])


def test_a_model_without_layers_is_refused():
    with pytest.raises(OnnxqError, match="nothing to calibrate"):
        onnxq.calibrate(parse("g (float[n,4] x) => (float[n,4] y) { y = Relu (x) }"), [images(1, (4,))])


def test_evaluation_counts(tmp_path, network):
    from onnxq.evaluation import rank_of_label

    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    onnx.save(network, first)
    onnx.save(small_network(seed=7), second)
    x = images(40, seed=2)
    labels = np.random.default_rng(0).integers(0, 5, 40)
    batches = [Batch(x[:25], labels[:25]), Batch(x[25:], labels[25:])]
    results = onnxq.evaluate([first, second], batches)
    logits = [run(onnx.load(path), {"input": x}, native=False)[0] for path in (first, second)]
    answers = [value.argmax(axis=1) for value in logits]
    assert [result.correct for result in results] == [int((answer == labels).sum()) for answer in answers]
    assert [result.disagreements for result in results] == [0, int((answers[0] != answers[1]).sum())]
    assert all(result.correct5 == 40 for result in results), "of five classes"
    scores = np.float32([[3, 1, 2], [1, 1, 0], [np.nan, np.nan, np.nan]])
    assert rank_of_label(scores, np.array([2, 1, 0])).tolist() == [1, 1, 3]


def test_labels_beyond_the_classes_are_an_error(tmp_path, network):
    path = tmp_path / "n.onnx"
    onnx.save(network, path)
    with pytest.raises(OnnxqError, match="knows 5 classes"):
        onnxq.evaluate([path], [Batch(images(2), np.array([0, 5]))])
