"""Models that were once handled wrongly."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import images, parse, run, small_network
from onnx import helper, numpy_helper

import onnxq
from onnxq.clipping.percentile import percentile_interval
from onnxq.code_statistics import code_rates
from onnxq.errors import OnnxqError
from onnxq.graph import to_graph
from onnxq.network import layers_of
from onnxq.operators.observe import observe
from onnxq.passes.normalize import normalize
from onnxq.preprocessing import Preprocessing
from onnxq.statistics import TensorStatistics

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def close_to_float(model, x, **fields):
    """Quantize at 8 bits; the result must compute nearly what the float model does."""
    statistics = onnxq.calibrate(model, [x])
    result = onnxq.quantize(model, statistics, onnxq.Recipe(act_bits=8, weight_bits=8, **fields))
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
    quantized = onnxq.quantize(model, statistics, onnxq.Recipe()).model
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
    activation = layers_of(graph)[1].activation
    assert (activation.before, activation.upper) == ("a", 6.0)


def test_qdq_runs_with_eight_bit_channels_behind_a_conv_without_bias():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            y = Conv (a, w)
        }""",
        {"w": normal(2, 2, 3, 3)[:, :, :1, :1].copy()},
    )
    close_to_float(model, images(8, (2, 4, 4)), format="qdq")


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
    with pytest.raises(OnnxqError, match=r"exactly 8 images.*--batch-size of 8"):
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
            assert "run `onnxq calibrate` again" in str(error)


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
    result = onnxq.quantize(model, onnxq.calibrate(model, [images(8)]), onnxq.Recipe())
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
    statistics = onnxq.calibrate(model, [x], placement="outputs")
    result = onnxq.quantize(model, statistics, onnxq.Recipe(placement="outputs", act_bits=8, weight_bits=8))
    quantizers = [node for node in result.model.graph.node if node.op_type == "FakeQuantize"]
    assert {node.input[0] for node in quantizers} == set(result.plan.activations)
    assert "c" in result.plan.activations
    want, got = (run(m, {"input": x}, native=False)[0] for m in (model, result.model))
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()
