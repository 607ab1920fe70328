"""Models that were once handled wrongly."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import code_weight, images, parse, run, small_network
from onnx import helper, numpy_helper

import onnxq
from onnxq.clipping.percentile import percentile_interval
from onnxq.core.observation import observe
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.evaluation.code_rates import code_rates
from onnxq.evaluation.entropy import shannon_entropy
from onnxq.formats import codebook, fixed_point
from onnxq.graph.analysis import layers_of, network_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.normalize import normalize
from onnxq.recipe.points.inputs import Inputs

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def close_to_float(model, x, **fields):
    """Quantize at 8 bits; the result must compute nearly what the float model does."""
    statistics = onnxq.calibrate(model, [x])
    result = onnxq.quantize(model, statistics, onnxq.Recipe.of(act_bits=8, weight_bits=8, **fields))
    want = run(model, {"input": x}, native=False)
    got = run(result.model, {"input": x}, native=False)
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() < 0.05 * np.abs(b).max()
    return result


@pytest.mark.parametrize(
    "old_new",
    [("w1", "ra/scale"), ("w1", "w2/codes"), ("b1", "w1/shape"), ("w2", "b/scale"), ("c", "ra/quantized"),
     ("s", "w3/dequantized"), ("c", "a/minimum"), ("b3", "ra/bits")],
)  # fmt: skip
@pytest.mark.parametrize("file_format", ["onnxq", "qdq"])
def test_names_that_onnxq_would_give_are_taken(old_new, file_format):
    old, new = old_new
    model = small_network()
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [new if name == old else name for name in field]
    for tensor in model.graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
    close_to_float(model, images(16), format=file_format)


def test_weights_that_are_outputs_keep_their_values():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,3,4,4] y, float[3,2,1,1] w) {
            c = Conv (input, w)
            y = BatchNormalization (c, gamma, beta, mean, var)
        }""",
        {"w": normal(3, 2, 1, 1), "gamma": np.float32([2, 3, 4]), "beta": normal(3), "mean": normal(3),
         "var": np.float32([1, 2, 3])},
    )  # fmt: skip
    close_to_float(model, images(8, (2, 4, 4)))
    model = parse("g (float[n,4] input) => (float[n,3] y, float[4,3] w) { y = Gemm (input, w) }", {"w": normal(4, 3)})
    close_to_float(model, images(8, (4,)))


def test_a_gemm_with_a_bias_row_before_batch_norm():
    model = parse(
        """g (float[n,4] input) => (float[n,3] y) {
            c = Gemm (input, w, b)
            y = BatchNormalization (c, gamma, beta, mean, var)
        }""",
        {"w": normal(4, 3), "b": normal(1, 3), "gamma": np.float32([2, 3, 4]), "beta": normal(3), "mean": normal(3),
         "var": np.float32([1, 2, 3])},
    )  # fmt: skip
    close_to_float(model, images(8, (4,)))


def test_float16_batch_norm_is_left_alone():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            h = Cast <to = 10> (a)
            c = Conv (h, w16)
            d = BatchNormalization (c, gamma, beta, mean, var)
            y = Cast <to = 1> (d)
        }""",
        {"w": normal(2, 2, 1, 1), "w16": normal(2, 2, 1, 1).astype(np.float16),
         **{name: np.float16([1, 2]) for name in ("gamma", "beta", "mean", "var")}},
    )  # fmt: skip
    graph = to_graph(model)
    normalize(graph)
    assert [layer.weight_name for layer in layers_of(graph)] == ["w"]
    assert "BatchNormalization" in {node.op for node in graph.nodes}


def test_invented_node_names_are_new():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            y = Conv (a, w)
        }""",
        {"w": normal(2, 2, 1, 1)},
    )
    model.graph.node[0].name = "Conv_y"
    close_to_float(model, images(4, (2, 4, 4)))


def test_dropout_masks_that_are_outputs_stay():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y, bool[n,2,4,4] mask) {
            a, mask = Dropout (input)
            y = Conv (a, w)
        }""",
        {"w": normal(2, 2, 1, 1)},
    )
    statistics = onnxq.calibrate(model, [images(4, (2, 4, 4))])
    quantized = onnxq.quantize(model, statistics, onnxq.Recipe.of()).model
    assert run(quantized, {"input": images(4, (2, 4, 4))}, native=False)[1].all()


def test_layers_inside_local_functions_are_quantized():
    block = onnx.parser.parse_function(
        """<domain: "my", opset_import: ["" : 18]>
        Block (x, w) => (y) { c = Conv (x, w) y = Relu (c) }"""
    )
    graph = helper.make_graph(
        [helper.make_node("Block", ["input", "w"], ["h"], domain="my"), helper.make_node("Conv", ["h", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["n", 2, 4, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2, 4, 4])],
        [numpy_helper.from_array(normal(2, 2, 1, 1), "w")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my", 1)]
    model = helper.make_model(graph, functions=[block], opset_imports=opsets, ir_version=10)
    close_to_float(model, images(8, (2, 4, 4)))
    inlined = to_graph(model)
    normalize(inlined)
    assert len(layers_of(inlined)) == 2


def test_clip_bounds_of_any_kind_of_constant():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            zero = Constant <value_float = 0.0> ()
            six = Constant <value_float = 6.0> ()
            r = Clip (a, zero, six)
            y = Conv (r, w)
        }""",
        {"w": normal(2, 2, 1, 1)},
    )
    graph = to_graph(model)
    normalize(graph)
    point = Inputs().of(network_of(graph))[1]
    assert (point.pre_activation, point.upper) == ("a", 6.0)


def test_qdq_runs_with_eight_bit_channels_behind_a_conv_without_bias():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            y = Conv (a, w)
        }""",
        {"w": normal(2, 2, 3, 3)[:, :, :1, :1].copy()},
    )
    close_to_float(model, images(8, (2, 4, 4)), format="qdq", act_granularity="per-channel")


def test_empty_batches_change_nothing():
    x = images(8)
    network = small_network()
    with_empty, without = onnxq.calibrate(network, [x[:0], x, x[:0]]), onnxq.calibrate(network, [x])
    for name, tensor in without.tensors.items():
        np.testing.assert_array_equal(with_empty.tensors[name].histogram, tensor.histogram)
    empty = TensorStatistics.of(observe(x[:0]))
    merged = empty.merge(TensorStatistics.of(observe(x)))
    np.testing.assert_array_equal(merged.histogram, TensorStatistics.of(observe(x)).histogram)


@pytest.mark.parametrize("percent", [99.99, 99.5, 80.1])
def test_percentiles_do_not_fall_into_gaps(percent):
    x = np.concatenate([RANDOM.uniform(0, 1, 99_000), np.full(1_000, 100)]).astype(np.float32).reshape(1, 1, -1)
    seen = observe(x)
    tensor = TensorStatistics.of(seen)
    lower, upper = percentile_interval(
        tensor.histogram, tensor.anchor.astype(np.float64), tensor.minimum.astype(float), tensor.maximum.astype(float),
        percent,
    )  # fmt: skip
    want = np.quantile(x, [(100 - percent) / 200, 1 - (100 - percent) / 200], method="inverted_cdf")
    np.testing.assert_allclose([lower[0], upper[0]], want, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("values", [{"mean": "0.5"}, {"input_size": "224"}, {"mean": '["a","b","c"]'}, {"crop": '"x"'}])
def test_metadata_of_the_wrong_kind(values):
    with pytest.raises(OnnxqError, match="preprocessing"):
        Preprocessing.from_metadata({"mean": "[0, 0, 0]", "std": "[1, 1, 1]", **values})


def test_fixed_batch_sizes_are_named():
    model = small_network()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 8
    onnxq.calibrate(model, [images(8)])
    with pytest.raises(OnnxqError, match=r"exactly 8 images.*`batch_size` of 8"):
        onnxq.calibrate(model, [images(8), images(4)])


def test_flipped_bytes_of_a_statistics_file(tmp_path):
    path, broken = tmp_path / "s.npz", tmp_path / "broken.npz"
    onnxq.calibrate(small_network(), [images(4)]).save(path)
    content = path.read_bytes()
    for position in range(0, len(content), 37):
        broken.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            onnxq.Statistics.load(broken)
        except OnnxqError as error:
            assert "onnxq calibrate" in str(error)


def test_a_computed_bias_is_left_and_said():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            bias = Relu (b)
            a = Conv (input, w)
            y = Conv (a, w, bias)
        }""",
        {"w": normal(2, 2, 1, 1), "b": normal(2)},
    )
    result = close_to_float(model, images(8, (2, 4, 4)))
    assert len([note for note in result.notes if "computed by the graph" in note]) == 1


def test_entropy_of_a_file_with_a_fixed_batch(tmp_path):
    model = small_network()
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 8
    result = onnxq.quantize(model, onnxq.calibrate(model, [images(8)]), onnxq.Recipe.of())
    onnxq.save_model(result.model, tmp_path / "q.onnx")
    rates = code_rates(tmp_path / "q.onnx", [images(8), images(8, seed=3)])
    assert {rate.values for rate in rates if rate.name == "input"} == {2 * 8 * 3 * 8 * 8}


def test_outputs_behind_relu_and_clip_are_quantized_where_the_chain_ends():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            r = Relu (a)
            c = Clip (r, zero, six)
            y = Conv (c, w)
        }""",
        {"w": normal(2, 2, 1, 1), "zero": np.float32(0), "six": np.float32(6)},
    )
    x = images(8, (2, 4, 4))
    statistics = onnxq.calibrate(model, [x], points="outputs")
    result = onnxq.quantize(model, statistics, onnxq.Recipe.of(placement="outputs", act_bits=8, weight_bits=8))
    quantizers = [node for node in result.model.graph.node if node.op_type == "FakeQuantize"]
    assert {node.input[0] for node in quantizers} == set(result.plan.activations)
    assert "c" in result.plan.activations
    want, got = (run(m, {"input": x}, native=False)[0] for m in (model, result.model))
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def test_weights_on_powers_of_two_see_all_taps():
    """512 columns of 4,608 at a regular distance were all of one tap."""
    envelope = np.full((3, 3), 0.3, np.float32)
    envelope[1, 1] = 2
    weight = np.random.default_rng(0).standard_normal((512, 512, 3, 3)).astype(np.float32) * envelope
    coded = code_weight(weight, 4, onnxq.Recipe.of("apot"))
    assert ((coded.dequantized() - weight) ** 2).mean() < 0.05 * (weight**2).mean()


def test_dead_channels_and_rounding_down():
    """A channel that is all zero, in a tensor whose grid is that of the others."""
    w, b = normal(4, 2, 3, 3), np.float32([0, 0.1, -50, 0])
    model = parse(
        """g (float[n,2,8,8] input) => (float[n,3,2,2] y) {
            a = Conv (input, w, b)
            r = Relu (a)
            p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
            y = Conv (p, v)
        }""",
        {"w": w, "b": b, "v": normal(3, 4, 2, 2)},
    )
    close_to_float(model, images(8, (2, 8, 8)), scheme="fixed-point", act_granularity="per-tensor", rounding="floor")


def test_an_output_that_feeds_a_layer_stays_as_it_is():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] r, float[n,2,4,4] y) {
            a = Conv (input, w)
            r = Relu (a)
            y = Conv (r, w)
        }""",
        {"w": normal(2, 2, 1, 1)},
    )
    x = images(8, (2, 4, 4))
    for placement in ("inputs", "all-inputs"):
        statistics = onnxq.calibrate(model, [x], points=placement)
        recipe = onnxq.Recipe.of("minmax", act_bits=3, edge_bits=3, placement=placement)
        result = onnxq.quantize(model, statistics, recipe).model
        quantizers = [node for node in result.graph.node if node.op_type == "FakeQuantize" and node.input[0] == "r"]
        assert [node.output[0] for node in quantizers] == ["r/quantized"], placement
    assert [value.name for value in result.graph.output] == ["r", "y"]


def test_wrapping_keeps_the_largest_value():
    x = np.float32([-1, -0.3, 0.2, 1])
    for reach in (1.0, 0.99, 0.995):
        grid = fixed_point.params_from_reach(np.array([reach]), 6, overflow="wrap")
        got = fixed_point.fake_quantize(x * np.float32(reach), grid, 0)
        assert np.abs(got - x * np.float32(reach)).max() < 0.07


def test_layers_with_few_values_are_not_renormalized():
    model = parse(
        """g (float[n,2,8,8] input) => (float[n,4,8,8] y) {
            a = Conv (input, w)
            g = GlobalAveragePool (a)
            e = Conv (g, v)
            s = Sigmoid (e)
            m = Mul (a, s)
            y = Conv (m, v)
        }""",
        {"w": normal(4, 2, 1, 1), "v": normal(4, 4, 1, 1)},
    )
    x = images(32, (2, 8, 8))
    statistics = onnxq.calibrate(model, [x])
    recipe = onnxq.Recipe.of(act_bits=8, weight_bits=8, rounding="nearest", renormalize=True)
    result = onnxq.quantize(model, statistics, recipe, images=[x[:16], x[16:30], x[30:]], hold_back=0)
    assert [note for note in result.notes if "too few to renormalize" in note]
    single = onnxq.quantize(model, statistics, recipe, images=[x[index : index + 1] for index in range(32)])
    want = run(model, {"input": x}, native=False)[0]
    for quantized in (result, single):
        got = run(quantized.model, {"input": x}, native=False)[0]
        assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def test_every_op_rounds_what_it_does_not_know():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            b = LeakyRelu (a)
            c = Tanh (b)
            y = Conv (c, w)
        }""",
        {"w": normal(2, 2, 1, 1)},
    )
    statistics = onnxq.calibrate(model, [images(8, (2, 4, 4))], points="every-op")
    result = onnxq.quantize(model, statistics, onnxq.Recipe.of(act_bits=8, weight_bits=8, placement="every-op"))
    assert set(result.plan.activations) == {"input", "a", "b", "c", "y"}
    assert (result.plan.activations["input"].bits == 8).all()  # type: ignore[attr-defined]


def test_edges_of_every_op_have_their_bits():
    model = small_network()
    statistics = onnxq.calibrate(model, [images(32)], points="every-op")
    plan = onnxq.quantize(model, statistics, onnxq.Recipe.of(placement="every-op", bit_alloc="none")).plan
    bits = {name: int(grid.bits.max()) for name, grid in plan.activations.items()}  # type: ignore[attr-defined]
    assert (bits["input"], bits["a"], bits["logits"], bits["b"]) == (8, 8, 8, 4)


def test_options_without_effect_are_refused():
    for fields in ({"rounding": "floor"}, {"overflow_rate": 0.1}, {"percentile": 90.0}, {"std_multiplier": 3.0}):
        with pytest.raises(OnnxqError, match="goes with scheme"):
            onnxq.Recipe.of(**fields)
    assert hash(onnxq.Recipe.of()) == hash(onnxq.Recipe.of())
    for fields in ({"scheme": "fixed-point", "weights": "uniform"}, {"weights": "fixed-point"}):
        with pytest.raises(OnnxqError, match="`edge_bits` must lie between 2 and 8"):
            onnxq.Recipe.of(edge_bits=16, **fields)
    for alpha in (
        {"*": {"weight": np.inf}},
        {1: {"weight": 3.0}},
        {"*": {"weight": True}},
        {"*": {"activation": 1e-50}},
    ):
        with pytest.raises(OnnxqError, match="`alpha` must map"):
            onnxq.Recipe.of("apot", alpha=alpha)
    with pytest.raises(OnnxqError, match="nothing: no layer"):
        onnxq.quantize(
            small_network(),
            None,
            onnxq.Recipe.of(act_bits=None, bias_correction="none", weights="apot", alpha={"nothing": {"weight": 3}}),
        )


def test_entropy_of_small_levels_and_wide_codes(tmp_path):
    model = small_network()
    x = images(16)
    statistics = onnxq.calibrate(model, [x])
    result = onnxq.quantize(model, statistics, onnxq.Recipe.of("pot", act_bits=6, weight_bits=4))
    onnxq.save_model(result.model, tmp_path / "pot.onnx")
    rates = {rate.name: rate for rate in code_rates(tmp_path / "pot.onnx", [x])}
    ra = np.maximum(run_tensor(model, "a", x), 0)
    grid = result.plan.activations["ra"]
    counts = np.unique(codebook.codes_of(ra, grid, 1), return_counts=True)[1]
    assert rates["ra"].entropy == pytest.approx(shannon_entropy(counts), rel=0.02), "of nearly the same activations"
    wide = onnxq.quantize(model, statistics, onnxq.Recipe.of("fixed-point", act_bits=12, weight_bits=12))
    onnxq.save_model(wide.model, tmp_path / "wide.onnx")
    rates = {rate.name: rate for rate in code_rates(tmp_path / "wide.onnx", [x])}
    assert rates["w1"].values == 6 * 3 * 9


def run_tensor(model, name, x):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return run(copy, {"input": x}, native=False)[-1]


def test_sizes_that_an_exporter_wrote_as_minus_one():
    """As paddle2onnx does: any number of images, of any size."""
    network, batches = small_network(), [images(8, seed=seed) for seed in range(9)]
    for size in (
        *network.graph.input[0].type.tensor_type.shape.dim[:1],
        *network.graph.output[0].type.tensor_type.shape.dim[:1],
    ):
        size.Clear()
        size.dim_value = -1
    result = onnxq.quantize(network, None, onnxq.Recipe.of(), images=batches, provider="cpu")
    assert result.distances.images == 9
    assert run(result.model, {"input": images(3)}, native=False)[0].shape == (3, 5)
