"""What the published systems have besides their defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import run, small_network
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import onnxq
from onnxq.allocation import ALLOCATIONS
from onnxq.allocation.published import allocate
from onnxq.clipping import CLIPPINGS
from onnxq.core.batch_averages import BatchAverages
from onnxq.core.layers import Layer
from onnxq.core.observation import observe
from onnxq.core.observed import ObservedOverBatches
from onnxq.core.points import QuantPoint
from onnxq.core.statistics import Statistics
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.decide.activations import quantize_activation
from onnxq.errors import OnnxqError
from onnxq.formats import FORMATS
from onnxq.formats.affine import affine_params
from onnxq.formats.shifted import ShiftedParams
from onnxq.rewrite.write_calls import write_calls
from onnxq.runtime.providers import device_number, resolve_provider
from onnxq_cli.main import _group

OUTPUTS = {"placement": "outputs", "bit_alloc": "none", "weight_correction": "none", "rounding": "nearest"}


def quantized(random, points="outputs", **options):
    model = small_network()
    x = random.normal(size=(64, 3, 8, 8)).astype(np.float32)
    statistics = onnxq.calibrate(model, [x], points=points)
    return model, x, statistics, onnxq.quantize(model, statistics, onnxq.Recipe.of(**{**OUTPUTS, **options}))


def value_of(model, name, x):
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return run(probe, {"input": x}, native=False)[-1]


def test_corrected_outputs_have_nearly_the_mean_of_the_float_ones(random):
    """Of the first layer, whose input is exact; its weights are almost."""
    means, ends = {}, {"layers": "first-and-last", "weight_bits": 8, "act_bits": 3}
    for correction in ("none", "outputs"):
        model, x, _, result = quantized(random, scheme="minmax", weight_bits=8, bias_correction=correction, overrides=[ends])  # fmt: skip
        name = next(iter(result.plan.activations))
        got, want = value_of(result.model, f"{name}/quantized", x), value_of(model, name, x)
        means[correction] = np.abs(got.mean(axis=(0, 2, 3)) - want.mean(axis=(0, 2, 3))).max() / want.std()
        assert ((got == 0) | (got > 0)).all() or correction == "outputs"
    assert means["outputs"] < 0.6 * means["none"], means


finite = hnp.arrays(
    np.float32, (2, 3, 4), elements=st.floats(-10, 10, width=32) | st.sampled_from([np.nan, np.inf, 0.5])
)


@given(finite, hnp.arrays(np.float32, 3, elements=st.floats(-1, 1, width=32)))
def test_shifted_quantizers_are_what_their_nodes_compute(x, shift):
    import onnx_graphsurgeon as gs

    from onnxq.graph.conversion import to_model
    from onnxq.graph.names import Names

    params = ShiftedParams(affine_params([-1.0, 0.0, -4.0], [2.0, 3.0, 4.0], np.int32([3, 2, 4])), shift)
    subject, result = gs.Variable("x", np.float32, x.shape), gs.Variable("y", np.float32, x.shape)
    graph = gs.Graph(inputs=[subject], outputs=[result], opset=21)
    write_calls(graph, Names(graph), "x", params.quantizer_calls(3), result, subject)
    model = to_model(graph, onnx.ModelProto())
    for native in (False, None):
        np.testing.assert_array_equal(run(model, {"x": x}, native)[0], params.fake_quantize(x, axis=1))


def test_pooling_and_logits_have_eight_bits(random):
    _, x, statistics, result = quantized(random, "published-outputs", placement="published-outputs", act_bits=4)
    widths = {name: params.bits for name, params in result.plan.activations.items()}
    assert list(widths["p"]) == [8] and list(widths["logits"]) == [8]
    logits = run(result.model, {"input": x}, native=False)[0]
    assert len(np.unique(logits)) <= 256
    assert statistics.tensors.keys() >= {"p", "logits"}


def test_allocation_rounds_up_and_goes_by_deviation(random):
    spread = np.array([0.5, 1, 1.5, 2, 3, 5, 8, 13])
    ceil = ALLOCATIONS.parse({"published": {"rounding": "ceil"}})
    np.testing.assert_array_equal(ceil.widths(spread, None, 5.3), allocate(spread, 5.3, "ceil"))
    x = random.laplace(size=(4, 8, 500)) * np.linspace(1, 3, 8)[:, None]
    x[:, ::2, ::20] *= 20  # a heavy tail: sigma grows more than b
    seen = TensorStatistics.of(observe(np.float32(x)))
    assert allocate(seen.std, 4).tolist() != allocate(seen.b, 4).tolist()
    layer = Layer("l", "Conv", "x", "y", "w", np.ones((1, 8, 1), np.float32))
    statistics = Statistics("f" * 64, 4, {"x": seen})
    for prior, spread in (("gauss", seen.std), ("laplace", seen.b)):
        asked = {"bits": 4, "allocation": {"published": {"prior": prior}}, "clipping": "minmax"}
        recipe = onnxq.Recipe.of(activations=asked).resolved()
        choice = replace(recipe.activation_choice([]), allocation=recipe.activations.allocation)
        params: Any = quantize_activation(QuantPoint("x", 3, ()), [layer], statistics, recipe.activations, choice)
        np.testing.assert_array_equal(params.bits, allocate(spread, 4))
    with pytest.raises(OnnxqError, match=r"`published.rounding` must be round or ceil, not 'floor'"):
        onnxq.Recipe.of(activations={"allocation": {"published": {"rounding": "floor"}}})


def test_equal_steps_up_to_a_threshold():
    form: Any = FORMATS.parse({"even": {"threshold": 3.0}})
    np.testing.assert_allclose(form.levels(3, signed=True), [-1, -2 / 3, -1 / 3, 0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    w = np.float32([[-0.9, -0.45, -0.2, -0.05, 0, 0.1, 0.3, 0.7]])
    params = form.fit_weight(w, 5)
    published = np.array([-1.8, -0.8, -0.2, 0, 0.2, 0.4, 0.8, 1.6]) * w.std(ddof=1) + w.mean()
    np.testing.assert_allclose(params.dequantize(params.codes(w))[0], published, atol=1e-6)
    assert onnxq.Recipe.of("even").weights.format == FORMATS.parse("even")


def test_shuffled_evaluation_sees_the_same_images(small_model, small_data, tmp_path):
    path = tmp_path / "dynamic.onnx"
    runner = CliRunner()
    data = ["--data", str(small_data), "--preset", "cifar"]
    options = ["--scheme", "minmax", "--ranges", "dynamic", "--rounding", "nearest", "--act-granularity", "per-tensor"]
    assert runner.invoke(_group, ["quantize", str(small_model), *data, *options, "-o", str(path)]).exit_code == 0
    results = []
    for order in ([], ["--shuffle", "1"], ["--shuffle", "1"], ["--shuffle", "2"]):
        command = ["eval", str(small_model), str(path), *data, "--batch-size", "4", "--metric", "classification"]
        done = runner.invoke(_group, [*command, "--metric", "distance", *order])
        assert done.exit_code == 0, done.output
        rows = [
            line.split()
            for line in done.output.splitlines()
            if line.startswith((str(small_model)[-12:], str(path)[-12:], "..."))
        ]
        results.append([row[1:4] for row in rows])
    plain, first, again, second = results
    assert first == again and plain[0][:2] == first[0][:2] == second[0][:2]
    assert first[1] != plain[1] or second[1] != plain[1]


def test_gpus_have_numbers(small_model, small_data):
    assert device_number("cuda:3") == 3 and device_number("auto") == device_number("cuda") == 0
    with pytest.raises(OnnxqError, match="GPUs are cuda:0"):
        resolve_provider("cuda:x")
    command = ["eval", str(small_model), "--data", str(small_data), "--preset", "cifar"]
    both = CliRunner().invoke(_group, [*command, "--provider", "cpu", "--device", "0"])
    assert both.exit_code != 0 and "--provider cpu has none" in both.output


def test_names_of_the_published_fixed_point_system():
    from onnxq.export.torchvision import export_model
    from onnxq.graph.model_files import metadata

    values = metadata(export_model("squeezenet_v1_cifar100", weights="none"))
    assert (values["num_classes"], values["input_size"], values["resize"]) == ("100", "[3, 224, 224]", "224")
    assert values["mean"] == "[0.485, 0.456, 0.406]"


def averages_by_hand(batches, name, model):
    """minimum, maximum, mean, b, std of a tensor, by channel, of each batch, averaged."""
    found = []
    for batch in batches:
        x = value_of(model, name, batch).astype(np.float64) if name != "input" else batch.astype(np.float64)
        x = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
        b = np.abs(x - x.mean(axis=1, keepdims=True)).mean(axis=1)
        found.append([x.min(axis=1), x.max(axis=1), x.mean(axis=1), b, x.std(axis=1, ddof=1)])
    return np.mean(found, axis=0)


def test_extremes_and_moments_averaged_over_batches(random, tmp_path):
    """The published ``-sm use``; with one image a batch its ``-sba``."""
    model = small_network()
    x = random.normal(size=(12, 3, 8, 8)).astype(np.float32) * np.linspace(0.5, 3, 12, dtype=np.float32)[:, None, None, None]  # fmt: skip
    for size in (4, 1):
        batches = [x[start : start + size] for start in range(0, 12, size)]
        statistics = onnxq.calibrate(model, batches, batch_averages=True)
        assert statistics.averages.batches == len(batches)
        for name in statistics.tensors:
            if value_of(model, name, x[:1]).ndim != 4 if name != "input" else False:
                continue
            got = statistics.averages.rows[name][:, :-1]
            np.testing.assert_allclose(got, averages_by_hand(batches, name, model), rtol=0.02, atol=0.02)
        statistics.save(tmp_path / "s.npz")
        again = Statistics.load(tmp_path / "s.npz")
        np.testing.assert_array_equal(again.averages.rows["input"], statistics.averages.rows["input"])
        asked = {"clipping": "minmax", "over": "batches", "allocation": "none", "bits": 4}
        plan = onnxq.quantize(model, again, onnxq.Recipe.of(activations=asked, rounding="nearest")).plan
        low, high = averages_by_hand(batches, "input", model)[:2]
        params: Any = plan.activations["input"]
        np.testing.assert_allclose(params.scale * (2.0**params.bits - 1), high - low, rtol=1e-5)
    halves = [onnxq.calibrate(model, [part], batch_averages=True) for part in (x[:4], x[4:8], x[8:])]
    merged = halves[0].merge(halves[1]).merge(halves[2])
    one = onnxq.calibrate(model, [x[:4], x[4:8], x[8:]], batch_averages=True)
    np.testing.assert_allclose(merged.averages.rows["input"], one.averages.rows["input"], rtol=1e-6)
    with pytest.raises(OnnxqError, match="cannot be merged"):
        merged.merge(onnxq.calibrate(model, [x[:4]]))


def test_averages_that_were_not_taken_are_asked_for(random):
    model = small_network()
    x = random.normal(size=(4, 3, 8, 8)).astype(np.float32)
    recipe = onnxq.Recipe.of(activations={"over": "batches"}, rounding="nearest")
    with pytest.raises(OnnxqError, match="run `onnxq calibrate` again with `batch_averages`"):
        onnxq.quantize(model, onnxq.calibrate(model, [x]), recipe)
    assert onnxq.quantize(model, None, recipe, images=[x]).plan.activations
    with pytest.raises(OnnxqError, match="no 'days'; use one of images, batches"):
        onnxq.Recipe.of(activations={"over": "days"})
    with pytest.raises(OnnxqError, match=r"`activations\.over` must be images"):
        onnxq.Recipe.of(activations={"over": "batches", "dynamic": True, "clipping": "minmax"})


def test_damaged_averages_are_refused(random, tmp_path):
    statistics = onnxq.calibrate(small_network(), [random.normal(size=(4, 3, 8, 8)).astype(np.float32)], batch_averages=True)  # fmt: skip
    for field, value in ((0, 1e9), (4, -1.0), (2, np.nan)):
        rows = {name: row.copy() for name, row in statistics.averages.rows.items()}
        rows["input"][field] = value
        replace(statistics, averages=BatchAverages(1, rows)).save(tmp_path / "s.npz")
        with pytest.raises(OnnxqError, match="means over batches are damaged"):
            Statistics.load(tmp_path / "s.npz")


def test_steps_over_the_range_of_centroids():
    """Steps begin and end at the outermost centroids, within which weights beyond them are clipped."""
    w = np.random.default_rng(0).uniform(-1, 1, size=(1, 4000)).astype(np.float32)
    form: Any = FORMATS.parse("kmeans-range")
    params = form.fit_weight(w, np.array([3], np.int32))
    values = params.dequantize(params.codes(w))
    codebook: Any = FORMATS.parse("kmeans")
    centroids = codebook.fit_weight(w, 3).levels[0]
    step = params.scale[0]
    assert abs(values.min() - centroids[0]) <= step / 2 and abs(values.max() - centroids[-1]) <= step / 2
    assert step == pytest.approx((centroids[-1] - centroids[0]) / 7, rel=1e-5) and step < 0.95 * 2 / 7
    np.testing.assert_allclose(np.diff(np.unique(values)), step, rtol=1e-5)
    with pytest.raises(OnnxqError, match="kmeans-range"):
        onnxq.Recipe.of(weights="kmeans-range", target="onnxruntime")


def test_clipping_by_averages_is_by_their_moments(random):
    """aciq-laplace of a tensor before a ReLU: mean and b are means over batches; so are the published ones."""
    model = small_network()
    x = random.normal(size=(12, 3, 8, 8)).astype(np.float32) * np.linspace(0.5, 3, 12, dtype=np.float32)[:, None, None, None]  # fmt: skip
    batches = [x[:4], x[4:8], x[8:]]
    statistics = onnxq.calibrate(model, batches, batch_averages=True)
    relu = next(
        point for point in statistics.tensors if point not in ("input",) and statistics.tensors[point].minimum.min() < 0
    )
    low, _, mean, b, _ = averages_by_hand(batches, relu, model)
    observed = ObservedOverBatches(
        statistics.tensors[relu], None, False, None, statistics.averages.tensor(relu, per_channel=True)
    )
    lower, upper = CLIPPINGS.parse("published-aciq-laplace").interval(observed, np.full(len(low), 4, np.int32))
    alpha = 5.03 * b
    want = np.maximum(low, mean - alpha)
    np.testing.assert_allclose(lower, want, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(upper - lower, 2 * alpha, rtol=0.02)
    np.testing.assert_allclose(
        observed.reach, np.abs(averages_by_hand(batches, relu, model)[:2]).max(axis=0), rtol=1e-5
    )
    assert (observed.spread != statistics.tensors[relu].std).all() and (observed.deviation < observed.spread).all()
