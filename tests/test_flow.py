"""calibrate, quantize and evaluate on a small network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import images, parse, run, small_network
from onnx import numpy_helper

import onnxq
from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError
from onnxq.formats import fixed_point
from onnxq.formats.affine import fake_quantize
from onnxq.formats.fixed_point_convolution import convolve
from onnxq.graph.model_files import metadata
from onnxq.recipe import POINTS, Recipe
from onnxq.runtime.library import find_library

SCHEMES = (
    *("aciq", "aciq-laplace", "aciq-gauss", "minmax", "mse", "entropy", "percentile", "histogram", "std", "mid-tread"),
    *("apot", "pot", "fixed-point"),
)
NATIVE = [False, True] if find_library() else [False]


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def statistics(network):
    return onnxq.calibrate(network, [images(16, seed=seed) for seed in range(4)])


@pytest.fixture(scope="module")
def by_placement(network):
    """Statistics of every placement."""
    batches = [images(16, seed=seed) for seed in range(4)]
    return {
        points: onnxq.calibrate(network, batches, points=points, moving_percentile=99.99) for points in POINTS.names()
    }


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
    fields = {"act_granularity": granularity}
    if scheme != "mid-tread":
        fields["weight_granularity"] = granularity
    recipe = Recipe.of(scheme=scheme, act_bits=3, weight_bits=5, **fields)
    model = onnxq.quantize(network, statistics, recipe).model
    onnx.checker.check_model(model, full_check=True)
    x = images(4, seed=9)
    results = [run(model, {"input": x}, native=native)[0] for native in NATIVE]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    assert len(np.unique(results[0])) > 5


def test_the_file_computes_what_the_plan_says(network, statistics):
    """Conv by conv: replace weights and inputs by their fake-quantized values in numpy."""
    result = onnxq.quantize(network, statistics, Recipe.of(act_bits=3, weight_bits=4, edge_bits=4))
    x = images(4, seed=9)
    got = intermediate(result.model, "a", x)
    weights = {w.name: numpy_helper.to_array(w) for w in network.graph.initializer}
    quantized = result.plan.weights["w1"].dequantized()
    assert np.abs(quantized - weights["w1"]).max() < 0.2
    weights["b1"] = result.plan.biases["Conv_a"]
    one = parse(
        "g (float[batch,3,8,8] input) => (float[batch,6,8,8] a) { a = Conv <pads = [1,1,1,1]> (input, w1, b1) }",
        {"w1": quantized, "b1": weights["b1"]},
    )
    want = run(one, {"input": fake_quantize(x, result.plan.activations["input"], 1)}, native=False)[0]
    np.testing.assert_allclose(got, want, atol=1e-5)


COMBINATIONS = [
    {"weights": "kmeans", "weight_bits": 3},
    {"weights": "kmeans", "weight_granularity": "per-tensor", "weight_correction": "mean-variance"},
    {"scheme": "aciq-laplace", "ranges": "dynamic"},
    {"scheme": "std", "ranges": "dynamic", "act_granularity": "per-tensor"},
    {"scheme": "minmax", "ranges": "dynamic", "bias_correction": "images"},
    {"placement": "outputs"},
    {"placement": "outputs", "ranges": "dynamic", "scheme": "aciq-gauss"},
    {"placement": "outputs", "scheme": "mid-tread", "act_bits": 2.7, "weight_bits": 3.3},
    {"scheme": "mid-tread", "act_granularity": "per-tensor", "published": True},
    {"published": True, "scheme": "aciq-laplace", "placement": "outputs"},
    {"act_bits": 2.5, "weight_bits": 2.25, "weight_correction": "mean-variance"},
    {"bias_correction": "images", "act_bits": 2, "weight_bits": 2},
    {"scheme": "apot", "act_bits": 3, "weight_bits": 3, "weight_correction": "mean-variance"},
    {"scheme": "apot", "weights": "uniform", "placement": "outputs"},
    {"weights": "pot", "renormalize": True},
    {"scheme": "pot", "act_bits": 8, "weight_bits": 8, "act_granularity": "per-tensor", "weight_granularity": "per-tensor"},
    {"scheme": "apot", "alpha": {"Conv_b": {"weight": 2.0}, "*": {"activation": 6.0}}},
    {"scheme": "fixed-point", "act_bits": 8, "weight_bits": 8, "rounding": "floor"},
    {"scheme": "fixed-point", "act_bits": 16, "weight_bits": 12, "placement": "every-op", "overflow": "wrap"},
    {"scheme": "fixed-point", "act_bits": 8, "weight_bits": 8, "placement": "every-op", "act_granularity": "per-tensor",
     "weight_granularity": "per-tensor", "overflow_rate": 0.001, "rounding": "half_up", "renormalize": True},
    {"scheme": "fixed-point", "weights": "uniform", "act_bits": 6, "placement": "all-inputs"},
    {"scheme": "histogram", "placement": "all-inputs", "renormalize": True},
    {"scheme": "minmax", "symmetric": True, "act_granularity": "per-tensor", "placement": "outputs"},
    {"scheme": "percentile", "moving_average": True, "act_bits": 5, "placement": "inputs"},
    {"placement": "all-inputs", "renormalize": True},
    {"format": "qdq", "renormalize": True, "weight_granularity": "per-tensor"},
    {"act_bits": None, "weight_bits": 3},
    {"act_bits": None, "weights": "apot", "renormalize": True},
    {"act_bits": None, "weights": "fixed-point", "bias_correction": "images"},
    {"placement": "every-op", "act_bits": 6},
    {"placement": "every-op", "scheme": "apot", "act_bits": 6},
]  # fmt: skip


@pytest.mark.parametrize("fields", COMBINATIONS, ids=str)
def test_every_combination_runs_anywhere_with_the_same_bits(network, by_placement, fields):
    recipe = Recipe.of(**{"rounding": "nearest", **fields})
    source = by_placement[POINTS.name_of(recipe.resolved_points)]
    model = onnxq.quantize(network, source, recipe, images=[images(16, seed=seed) for seed in range(2)]).model
    onnx.checker.check_model(model, full_check=True)
    x = images(4, seed=9)
    results = [run(model, {"input": x}, native=native)[0] for native in NATIVE]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    want = run(network, {"input": x}, native=False)[0]
    assert np.corrcoef(results[0].ravel(), want.ravel())[0, 1] > 0.8, "it still computes something like the network"


def test_dynamic_ranges_on_the_calibration_images_are_the_static_ones(network):
    """One batch for both: they see the same values."""
    x = images(32)
    statistics = onnxq.calibrate(network, [x])
    plain = {"bit_alloc": "none", "bias_correction": "none", "act_bits": 4, "edge_bits": 4}
    for scheme in ("minmax", "aciq-laplace", "aciq-gauss", "std"):
        static = onnxq.quantize(network, statistics, Recipe.of(scheme, **plain))
        dynamic = onnxq.quantize(network, statistics, Recipe.of(scheme, ranges="dynamic", **plain))
        # the input of the network: behind a quantized layer the values differ
        scale = intermediate(dynamic.model, "input/scale", x)
        np.testing.assert_allclose(scale.ravel(), static.plan.activations["input"].scale, rtol=2e-3)  # type: ignore[attr-defined]
        zero_point = intermediate(dynamic.model, "input/zero_point", x)
        np.testing.assert_allclose(zero_point.ravel(), static.plan.activations["input"].zero_point, atol=1)  # type: ignore[attr-defined]


def placed(model):
    """Tensors that quantizers read."""
    return [node.input[0] for node in model.graph.node if node.op_type.startswith("FakeQuantize")]


def test_placements(network, by_placement):
    plain = {"bit_alloc": "none", "bias_correction": "none"}
    got = {
        placement: onnxq.quantize(network, by_placement[placement], Recipe.of(placement=placement, **plain)).model
        for placement in POINTS.names()
        if placement != "integer"
    }
    assert set(placed(got["inputs"])) == {"input", "ra", "p", "f"}
    assert set(placed(got["outputs"])) == {"ra", "b", "rc"}
    assert set(placed(got["all-inputs"])) == {"input", "a", "ra", "s", "rs", "p", "c", "rc", "f"}
    assert set(placed(got["every-op"])) == {"input", "a", "b", "s", "c", "g", "logits/exact"}
    assert got["every-op"].graph.output[0].name == "logits"
    for placement, model in got.items():
        assert len(placed(model)) == len(set(placed(model))), placement


def test_every_op_computes_on_the_grid(network, by_placement):
    """What a fixed-point machine would have in its memory: every tensor is a multiple of its step."""
    recipe = Recipe.of("fixed-point", act_bits=8, weight_bits=8, placement="every-op")
    result = onnxq.quantize(network, by_placement["every-op"], recipe)
    x = images(4, seed=9)
    for node in result.model.graph.node:
        if node.op_type == "FakeQuantizeFixedPoint":
            grid = result.plan.activations[node.input[0].removesuffix("/exact")]
            value = intermediate(result.model, node.output[0], x)
            shape = (1, -1, *[1] * (value.ndim - 2))
            codes = value * 2.0 ** np.broadcast_to(grid.fraction_bits, value.shape[1]).reshape(shape)  # type: ignore[attr-defined]
            np.testing.assert_array_equal(codes, np.rint(codes))
            assert np.abs(codes).max() <= 128
    layers = [node for node in result.model.graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > 2]
    assert [node.input[2] for node in layers] == ["b1/rounded", "b3/rounded", "b4/rounded"]


def test_sessions_take_what_they_cannot_be_given_from_the_model():
    """INT4 weights of enough values to be left out of a graph to measure, were they of another type."""
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((16, 16, 3, 3)).astype(np.float32)}
    text = "a = Conv <pads = [1,1,1,1]> (input, w) r = Relu (a) y = Conv <pads = [1,1,1,1]> (r, w)"
    model = parse(f"g (float[n,16,8,8] input) => (float[n,16,8,8] y) {{ {text} }}", weights)
    x = random.standard_normal((8, 16, 8, 8)).astype(np.float32)
    recipe = Recipe.of(act_bits=8, weight_bits=4, edge_bits=4, format="qdq", rounding="nearest", renormalize=True)
    result = onnxq.quantize(model, onnxq.calibrate(model, [x]), recipe, images=[x])
    assert np.isfinite(run(result.model, {"input": x}, native=False)[0]).all()


def test_renormalizing_matches_mean_and_variance(network, statistics):
    x = [images(64, seed=seed) for seed in range(2)]
    recipe = Recipe.of(act_bits=2, weight_bits=2, edge_bits=2, rounding="nearest", renormalize=True)
    model = onnxq.quantize(network, statistics, recipe, images=x, hold_back=0).model
    plain = onnxq.quantize(network, statistics, Recipe.of(act_bits=2, weight_bits=2, edge_bits=2)).model
    everything = np.concatenate(x)
    want = intermediate(network, "a", everything)
    got, before = (intermediate(m, "a", everything) for m in (model, plain))
    axes = (0, 2, 3)
    np.testing.assert_allclose(got.mean(axis=axes), want.mean(axis=axes), atol=1e-4)
    np.testing.assert_allclose(got.std(axis=axes), want.std(axis=axes), rtol=1e-3)
    assert np.abs(before.std(axis=axes) - want.std(axis=axes)).max() > 0.01, "there was something to match"
    deeper = [
        np.abs(intermediate(m, "c", everything).std(axis=axes) - intermediate(network, "c", everything).std(axis=axes))
        for m in (model, plain)
    ]
    assert deeper[0].mean() < 0.5 * deeper[1].mean()
    with pytest.raises(OnnxqError, match="need some"):
        onnxq.quantize(network, statistics, recipe)


@pytest.mark.skipif(len(NATIVE) < 2, reason="the native library was not built")
def test_bit_true_files(network, by_placement):
    fields = {"act_bits": 8, "weight_bits": 8, "placement": "every-op"}
    exact, true = (
        onnxq.quantize(network, by_placement["every-op"], Recipe.of("fixed-point", bit_true=bit_true, **fields))
        for bit_true in (False, True)
    )
    assert [node.op_type for node in true.model.graph.node].count("FixedPointConv") == 3
    assert "FixedPointConv" in metadata(true.model)["onnxq.needs"]
    x = images(4, seed=9)
    grid = true.plan.activations["a"]
    weights = true.plan.weights["w1"].dequantized()
    conv = next(node for node in true.model.graph.node if node.op_type == "FixedPointConv")
    bias = next(numpy_helper.to_array(w) for w in true.model.graph.initializer if w.name == conv.input[2])
    source = fixed_point.fake_quantize(x, true.plan.activations["input"], 1)
    want = convolve(source, weights, bias, grid, pads=(1, 1, 1, 1))
    copy = onnx.ModelProto()
    copy.CopyFrom(true.model)
    copy.graph.output.append(onnx.helper.make_tensor_value_info(conv.output[0], onnx.TensorProto.FLOAT, None))
    np.testing.assert_array_equal(run(copy, {"input": x}, native=True)[-1], want)
    outputs = [run(result.model, {"input": x}, native=True)[0] for result in (exact, true)]
    assert np.abs(outputs[0] - outputs[1]).max() > 0
    with pytest.raises(OnnxqError, match="native library"):
        run(true.model, {"input": x}, native=False)


def test_thresholds_from_outside(network, statistics):
    recipe = Recipe.of("apot", alpha={"*b": {"weight": 2.0, "activation": 5.0}}, weight_correction="none")
    plan = onnxq.quantize(network, statistics, recipe).plan
    assert plan.activations["ra"].scale.tolist() == [5.0]  # type: ignore[attr-defined]
    rows = next(numpy_helper.to_array(w) for w in network.graph.initializer if w.name == "w2").reshape(6, -1)
    np.testing.assert_allclose(plan.weights["w2"].params.scale, 2 * rows.std(axis=1, ddof=1), rtol=1e-5)  # type: ignore[attr-defined]
    assert plan.activations["p"].scale.size == 6, "searched for"  # type: ignore[attr-defined]


def test_moving_averages(network):
    batches = [images(16, seed=seed) * (1 + seed) for seed in range(3)]
    seen = onnxq.calibrate(network, batches, moving_percentile=100)
    want = np.abs(batches[0]).max(axis=(0, 2, 3))
    for batch in batches[1:]:
        want = 0.9 * want + 0.1 * np.abs(batch).max(axis=(0, 2, 3))
    np.testing.assert_allclose(seen.moving["input"][:-1], want, rtol=1e-5)
    assert seen.moving["ra"].shape == (7,)
    for other in (onnxq.calibrate(network, batches), seen):
        with pytest.raises(OnnxqError, match=r"`moving_percentile` 99\.99"):
            onnxq.quantize(network, other, Recipe.of("percentile", moving_average=True))
    onnxq.quantize(network, seen, Recipe.of("percentile", moving_average=True, percentile=100))
    with pytest.raises(OnnxqError, match="`moving_percentile`"):
        onnxq.calibrate(network, batches, moving_percentile=200)


def test_biases_measured_on_images_restore_the_mean(network, statistics):
    """The first layer's output has the mean of the float network's on the images that were measured."""
    x = images(64, seed=0)
    recipe = Recipe.of(act_bits=2, weight_bits=2, edge_bits=2, bias_correction="images", weight_correction="none")
    corrected = onnxq.quantize(network, statistics, recipe, images=[x[:40], x[40:]], hold_back=0).model
    want = intermediate(network, "a", x).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(intermediate(corrected, "a", x).mean(axis=(0, 2, 3)), want, atol=1e-5)
    with pytest.raises(OnnxqError, match="need some"):
        onnxq.quantize(network, statistics, recipe)


def test_a_layer_without_bias_gets_one(network, statistics):
    model = onnxq.quantize(network, statistics, Recipe.of(act_bits=2, weight_bits=2)).model
    conv = next(node for node in model.graph.node if node.output[0] == "b")
    assert len(conv.input) == 3


def test_channels_of_no_bits(network, statistics):
    """A target of two bits leaves some channels none; they become their mean."""
    recipe = Recipe.of(act_bits=2, weight_bits=2, edge_bits=2)
    values = np.float32(
        np.random.default_rng(0).standard_normal((6, 6, 3, 3)) * 10.0 ** np.arange(-5, 1)[:, None, None, None]
    )
    model = onnx.ModelProto()
    model.CopyFrom(network)
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.name == "w2":
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, "w2"))
    result = onnxq.quantize(model, onnxq.calibrate(model, [images(16)]), recipe)
    coded = result.plan.weights["w2"]
    assert coded.bits.min() == 0
    np.testing.assert_allclose(coded.dequantized().mean(axis=(1, 2, 3)), values.mean(axis=(1, 2, 3)), rtol=1e-4)
    results = [run(result.model, {"input": images(4, seed=9)}, native=native)[0] for native in NATIVE]
    for got in results[1:]:
        np.testing.assert_array_equal(got, results[0])


def test_more_bits_come_closer(network, statistics):
    x = images(32, seed=9)
    want = run(network, {"input": x}, native=False)[0]
    errors = [
        np.abs(
            run(
                onnxq.quantize(network, statistics, Recipe.of("minmax", act_bits=b, weight_bits=b)).model,
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
    values = metadata(onnxq.quantize(network, statistics, Recipe.of(act_bits=5)).model)
    assert Recipe.from_json(values["onnxq.recipe"]) == Recipe.of(act_bits=5)
    assert values["onnxq.source"] == statistics.fingerprint
    assert values["onnxq.version"] == onnxq.__version__
    assert values["mean"] == "[0.5, 0.5, 0.5]"


def test_skipped_layers_stay_in_float(network, statistics):
    model = onnxq.quantize(network, statistics, Recipe.of(skip=("Gemm*",))).model
    names = {w.name for w in model.graph.initializer}
    assert "w4" in names
    assert "w1" not in names
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    assert gemm.input[0] == "f"


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
def test_qdq_is_the_same_grid_in_standard_operators(network, statistics, bits, granularity):
    recipe = Recipe.of(act_bits=bits, weight_bits=bits, act_granularity=granularity, format="qdq")
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
    coded = result.plan.weights["w3"]
    np.testing.assert_allclose(weight, fake_quantize(original, coded.params, 0), atol=1e-6)
    np.testing.assert_array_equal(coded.dequantized(), fake_quantize(original, coded.params, 0))


def test_the_source_is_left_alone(statistics):
    model = small_network()
    before = model.SerializeToString(deterministic=True)
    onnxq.calibrate(model, [images(2)])
    onnxq.quantize(model, statistics, Recipe.of())
    onnxq.quantize(model, statistics, Recipe.of(format="qdq", weight_bits=2))
    assert model.SerializeToString(deterministic=True) == before


def test_statistics_of_another_model_are_refused(statistics):
    with pytest.raises(OnnxqError, match="belong to another model"):
        onnxq.quantize(small_network(seed=5), statistics, Recipe.of())


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
    from onnxq.evaluation.metrics.classification import rank_of_label

    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    onnx.save(network, first)
    onnx.save(small_network(seed=7), second)
    x = images(40, seed=2)
    labels = np.random.default_rng(0).integers(0, 5, 40)
    batches = [Batch(x[:25], labels[:25]), Batch(x[25:], labels[25:])]
    results = onnxq.evaluate([first, second], batches)
    logits = [run(onnx.load(path), {"input": x}, native=False)[0] for path in (first, second)]
    answers = [value.argmax(axis=1) for value in logits]
    assert [result.values["correct"] for result in results] == [int((answer == labels).sum()) for answer in answers]
    assert [result.values["disagreements"] for result in results] == [0, int((answers[0] != answers[1]).sum())]
    assert all(result.values["correct5"] == 40 for result in results), "of five classes"
    scores = np.float32([[3, 1, 2], [1, 1, 0], [np.nan, np.nan, np.nan]])
    assert rank_of_label(scores, np.array([2, 1, 0])).tolist() == [1, 1, 3]


def test_labels_beyond_the_classes_are_an_error(tmp_path, network):
    path = tmp_path / "n.onnx"
    onnx.save(network, path)
    with pytest.raises(OnnxqError, match="knows 5 classes"):
        onnxq.evaluate([path], [Batch(images(2), np.array([0, 5]))])
