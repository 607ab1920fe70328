"""Files of placement ``integer``: what ONNX Runtime makes of them, and what they compute."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from helpers import HAS_VNNI, exact_session, images, parse, run, small_network

import onnxq
from onnxq.errors import OnnxqError
from onnxq.recipe import Recipe
from onnxq.recipe.targets.onnxruntime import OnnxRuntime
from onnxq.runtime.sessions import make_session

INTEGER = {"act_bits": 8, "weight_bits": 8, "format": "qdq", "placement": "integer"}
RANDOM = np.random.default_rng(0)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def quantized(model, x, **fields):
    statistics = onnxq.calibrate(model, [x], points="integer")
    result = onnxq.quantize(model, statistics, Recipe.of(**{**INTEGER, **fields}))
    onnx.checker.check_model(result.model, full_check=True)
    return result


def optimized(model, folder):
    """Operators that ONNX Runtime ends up with."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def saved(model, folder):
    onnxq.save_model(model, folder / "model.onnx")
    return folder / "model.onnx"


def close(model, got, x, tolerance=0.05):
    want = run(model, {"input": x}, native=False)[0]
    sessions = [exact_session(got)]
    if HAS_VNNI:  # elsewhere the fused kernels saturate
        sessions.append(make_session(got, native=False))
    for session in sessions:
        assert np.abs(session.run(None, {"input": x})[0] - want).max() < tolerance * np.abs(want).max()


def test_everything_is_fused(tmp_path):
    network = small_network()
    x = images(64)
    result = quantized(network, x)
    close(network, result.model, images(8, seed=9))
    operators = optimized(result.model, tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QLinearAdd"] == operators["QGemm"] == operators["QLinearGlobalAveragePool"] == 1
    assert operators["QuantizeLinear"] == 1
    assert operators["DequantizeLinear"] <= 1
    assert not {"Conv", "Gemm", "Add", "Relu", "Clip", "GlobalAveragePool"} & set(operators)


@pytest.mark.parametrize("alloc", ["none", "weights"])
@pytest.mark.parametrize("bits", [(4, 8, 4), (4, 4, 4), (3, 6, 8), (2, 8, 4), (5, 8, 8)], ids=str)
def test_narrow_weights_and_activations_are_fused(tmp_path, bits, alloc):
    """Weights in their narrow types or as bit streams, INT8 when the session has loaded; activations clamped as codes."""
    weight_bits, act_bits, edge_bits = bits
    network, x = small_network(), images(64)
    widths = {"weight_bits": weight_bits, "act_bits": act_bits, "edge_bits": edge_bits}
    result = quantized(network, x, bit_alloc=alloc, **widths)
    close(network, result.model, images(8, seed=9), 1.5)
    operators = optimized(result.model, tmp_path)
    assert operators["QLinearConv"] == 3
    assert operators["QLinearAdd"] == operators["QGemm"] == operators["QLinearGlobalAveragePool"] == 1
    assert (operators["QuantizeLinear"], operators["Clip"] > 0) == (1, min(act_bits, edge_bits) < 8)
    assert not {"Conv", "Gemm", "Add", "Relu", "FusedConv", "Cast", "GlobalAveragePool"} & set(operators)
    kinds = Counter(tensor.data_type for tensor in result.model.graph.initializer if len(tensor.dims) > 1)
    streams = sum(node.op_type == "UnpackSigned" for node in result.model.graph.node)
    typed = {2: onnx.TensorProto.INT2, 4: onnx.TensorProto.INT4}
    assert streams + kinds.total() == 4
    if alloc == "none":
        assert (kinds[typed[weight_bits]] if weight_bits in typed else streams) >= 2
    found = onnxq.check(saved(result.model, tmp_path))
    assert not found.in_float
    assert len(found.layers) == operators["QLinearConv"] + operators["QGemm"]
    tops = [onnx.numpy_helper.to_array(each) for each in result.model.graph.initializer if each.name.endswith("/last")]
    assert all(top <= 2 ** max(act_bits, edge_bits) - 1 for top in tops)


SHORTCUT = """g (float[n,4,8,8] input) => (float[n,8,1,1] y) {
    a = Conv <pads = [1,1,1,1]> (input, w1)
    r = Relu (a)
    b = Conv <pads = [1,1,1,1], strides = [2,2]> (r, w2, bias)
    s = Slice (r, zero, end, axes, two)
    p = Pad (s, pads)
    t = Add (b, p)
    u = Relu (t)
    c = Conv (u, w3)
    d = Conv (u, w4)
    e = Concat <axis = 1> (c, d)
    f = Conv (e, w5)
    y = GlobalAveragePool (f)
}"""


def test_slices_padding_and_concat(tmp_path):
    """The parameter-free shortcut of ResNets for CIFAR."""
    model = parse(
        SHORTCUT,
        {
            "w1": normal(4, 4, 3, 3), "w2": normal(8, 4, 3, 3), "bias": normal(8), "w3": normal(4, 8, 1, 1),
            "w4": normal(4, 8, 1, 1), "w5": normal(8, 8, 1, 1), "zero": np.int64([0, 0]), "end": np.int64([8, 8]),
            "axes": np.int64([2, 3]), "two": np.int64([2, 2]), "pads": np.int64([0, 2, 0, 0, 0, 2, 0, 0]),
        },
    )  # fmt: skip
    x = images(32, (4, 8, 8))
    result = quantized(model, x, bias_correction="none")
    close(model, result.model, x, 0.08)
    operators = optimized(result.model, tmp_path)
    assert operators["QLinearConv"] == 5
    assert operators["QLinearConcat"] == operators["QLinearAdd"] == 1
    assert (operators["QuantizeLinear"], operators["DequantizeLinear"]) == (1, 1)


def test_padding_with_another_value_is_not_moved():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,6,6] y) {
            a = Conv (input, w)
            p = Pad (a, pads, one)
            y = Conv (p, w)
        }""",
        {"w": normal(2, 2, 1, 1), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "one": np.float32(1)},
    )
    x = images(32, (2, 4, 4))
    close(model, quantized(model, x).model, x)


def test_biases_are_codes_of_the_products():
    result = quantized(small_network(), images(64))
    kinds = {tensor.name: tensor.data_type for tensor in result.model.graph.initializer}
    biases = [
        node for node in result.model.graph.node if node.output[0].endswith("/dequantized") and node.input[0] in kinds
    ]
    assert sum(kinds[node.input[0]] == onnx.TensorProto.INT32 for node in biases) == 4


def test_shapes_are_not_quantized():
    """A Resize whose sizes are computed in float."""
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,h,w] y) {
            a = Conv (input, w)
            s = Shape <start = 2> (a)
            f = Cast <to = 1> (s)
            d = Mul (f, two)
            t = Cast <to = 7> (d)
            b = Shape <end = 2> (a)
            sizes = Concat <axis = 0> (b, t)
            r = Resize <mode = "nearest"> (a, , , sizes)
            y = Conv (r, w)
        }""",
        {"w": normal(2, 2, 1, 1), "two": np.float32(2)},
    )
    x = images(16, (2, 4, 4))
    close(model, quantized(model, x).model, x)


def test_a_padded_tensor_that_is_an_output_stays():
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y, float[n,2,6,6] p) {
            a = Conv (input, w)
            p = Pad (a, pads)
            y = Conv (p, v)
        }""",
        {"w": normal(2, 2, 1, 1), "v": normal(2, 2, 3, 3), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])},
    )
    x = images(16, (2, 4, 4))
    close(model, quantized(model, x, scheme="minmax").model, x)


def test_dead_channels_do_not_keep_a_layer_in_float(tmp_path):
    weight, bias = normal(4, 3, 3, 3), normal(4)
    weight[1], bias[1] = 0, 2.0
    weight[2], bias[2] = 1e-20, -30.0
    model = parse(
        "g (float[n,3,8,8] input) => (float[n,4,1,1] y) { a = Conv (input, w, b) c = Relu (a) y = GlobalAveragePool (c) }",
        {"w": weight, "b": bias},
    )
    x = images(16, (3, 8, 8))
    result = quantized(model, x)
    close(model, result.model, x)
    operators = optimized(result.model, tmp_path)
    assert operators["QLinearConv"] == 1
    assert operators["Conv"] == 0


@pytest.mark.parametrize(
    "bias", [np.float32(0.5), np.float32([[0.1, 0.2, 0.3, 0.4]]), np.float32([0.1, 0.2, 0.3, 0.4])]
)
def test_biases_of_gemm_of_every_shape(bias):
    model = parse(
        "g (float[n,3] input) => (float[n,4] y) { y = Gemm <transB = 1> (input, w, b) }", {"w": normal(4, 3), "b": bias}
    )
    x = images(4, (3,))
    for correction in ("none", "statistics"):
        close(model, quantized(model, x, bias_correction=correction).model, x)


def test_a_skipped_layer_keeps_its_weights():
    result = quantized(small_network(), images(64), skip=("Conv_b",))
    kinds = {tensor.name: tensor.data_type for tensor in result.model.graph.initializer}
    (skipped,) = [node for node in result.model.graph.node if node.name == "Conv_b"]
    assert kinds[skipped.input[1]] == onnx.TensorProto.FLOAT


def test_statistics_of_another_placement():
    with pytest.raises(OnnxqError, match="same `points`"):
        onnxq.quantize(small_network(), onnxq.calibrate(small_network(), [images(8)]), Recipe.of(**INTEGER))


@pytest.mark.parametrize("placement", ["inputs", "integer"])
def test_tensorrt_has_signed_codes_with_zero_points_of_zero(placement):
    network = small_network()
    x = images(64)
    statistics = onnxq.calibrate(network, [x], points=placement)
    model = onnxq.quantize(
        network, statistics, Recipe.of(**{**INTEGER, "placement": placement, "target": "tensorrt"})
    ).model
    onnx.checker.check_model(model, full_check=True)
    close(network, model, images(8, seed=9))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(nodes) > 8
    for node in nodes:
        zero_point = onnx.numpy_helper.to_array(constants[node.input[2]])
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
        assert onnx.numpy_helper.to_array(constants[node.input[1]]).min() > 0


def test_tensorrt_finds_its_pairs():
    """Nothing between a QuantizeLinear and its DequantizeLinear, with Slice and Pad as well."""
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            p = Pad (a, pads)
            b = Conv (p, v)
            y = Relu (b)
        }""",
        {"w": normal(2, 2, 1, 1), "v": normal(2, 2, 3, 3), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])},
    )
    x = images(16, (2, 4, 4))
    result = quantized(model, x, target="tensorrt")
    close(model, result.model, x)
    readers = {name: node.op_type for node in result.model.graph.node for name in node.input}
    assert all(
        readers[node.output[0]] == "DequantizeLinear"
        for node in result.model.graph.node
        if node.op_type == "QuantizeLinear"
    )


def test_a_signed_grid_of_nothing():
    network = parse("g (float[n,2,4,4] input) => (float[n,2,4,4] y) { y = Conv (input, w) }", {"w": normal(2, 2, 1, 1)})
    x = np.zeros((4, 2, 4, 4), np.float32)
    statistics = onnxq.calibrate(network, [x])
    recipe = Recipe.of(act_bits=8, weight_bits=8, format="qdq", target="tensorrt")
    model = onnxq.quantize(network, statistics, recipe).model
    assert np.isfinite(run(model, {"input": x}, native=False)[0]).all()


@pytest.mark.parametrize("fields", [{"format": "onnxq"}, {"act_bits": 4}, {"edge_bits": 4}, {"placement": "outputs"}])
def test_what_tensorrt_does_not_take(fields):
    with pytest.raises(OnnxqError, match=r"`target` tensorrt goes with|for this target|has quantizers at"):
        Recipe.of(**{"act_bits": 8, "weight_bits": 8, "format": "qdq", "target": "tensorrt", **fields})


@pytest.mark.parametrize("fields", [{"act_bits": 3}, {"format": "onnxq"}, {"act_granularity": "per-channel"}])
def test_what_integer_kernels_cannot_do(fields):
    with pytest.raises(OnnxqError, match=r"`placement` integer goes with|for this target|wants per-tensor"):
        Recipe.of(**{**INTEGER, **fields})


FUSED = {
    "hard swish": "h = HardSwish (a)",
    "hard swish written out": "t = Add (a, three) c = Clip (t, zero, six) m = Mul (a, c) h = Div (m, six)",
    "squeeze and excite": """s = GlobalAveragePool (a) e = Conv (s, w2) g = HardSigmoid <alpha = 0.2, beta = 0.5> (e)
        h = Mul (a, g)""",
    "swish": "s = Sigmoid (a) h = Mul (a, s)",
    "constants": "m = Mul (three, a) r = Relu (m) h = Add (r, row)",
    "a quotient": "r = Relu (a) h = Div (r, six)",
    "split": "b, c = Split <axis = 1, num_outputs = 2> (a) d = Conv (c, w3) h = Concat <axis = 1> (b, d)",
    "product": """s = Reshape (a, tokens) t = Transpose <perm = [0, 2, 1]> (s) q = MatMul (t, m4) k = Add (q, b4)
        u = Transpose <perm = [0, 2, 1]> (k) v = MatMul (u, k) h = Unsqueeze (v, last)""",
    "resize": 'h = Resize <mode = "nearest"> (a, , scales)',
    "batch norm": "r = Relu (a) n = BatchNormalization (r, g4, b4, b4, g4) h = Relu (n)",
}


@pytest.mark.parametrize("act_bits", [8, 5])
@pytest.mark.parametrize("middle", FUSED)
def test_blocks_without_float(tmp_path, middle, act_bits):
    model = parse(
        f"""g (float[n,3,8,8] input) => (float[n,5] y) {{
            a = Conv (input, w1, b1)
            {FUSED[middle]}
            p = ReduceMean <keepdims = 0> (h, axes)
            y = Gemm <transB = 1> (p, w4)
        }}""",
        {
            "w1": normal(4, 3, 3, 3), "b1": normal(4), "w2": normal(4, 4, 1, 1), "w3": normal(2, 2, 1, 1),
            "w4": normal(5, 4), "axes": np.int64([2, 3]), "zero": np.float32(0), "three": np.float32(3),
            "six": np.float32([6]), "tokens": np.int64([0, 4, 36]), "m4": normal(4, 4), "last": np.int64([3]),
            "scales": np.float32([1, 1, 2, 2]), "row": normal(1, 4, 1, 1), "g4": np.abs(normal(4)) + 0.5, "b4": normal(4),
        },
    )  # fmt: skip
    x = images(64)
    result = quantized(model, x, act_bits=act_bits)
    close(model, result.model, images(16, seed=9), 0.1 if act_bits == 8 else 0.5)
    found = onnxq.check(saved(result.model, tmp_path))
    assert not found.in_float
    assert set(found.others) <= ({"Add"} if middle == "product" else set())  # the bias of a product that returns float


def test_a_hard_sigmoid_that_exceeds_its_range_stays(tmp_path):
    """A range of its own would be cut elsewhere by the ends of the type."""
    model = parse(
        """g (float[n,2,4,4] input) => (float[n,2,2,2] y) {
            a = Conv (input, w)
            h = HardSigmoid <alpha = -0.2> (a)
            y = Conv (h, v)
        }""",
        {"w": normal(2, 2, 1, 1), "v": normal(2, 2, 3, 3)},
    )
    x = images(16, (2, 4, 4))
    result = quantized(model, x)
    close(model, result.model, x)
    assert onnxq.check(saved(result.model, tmp_path)).others["HardSigmoid"] == 1


@pytest.mark.parametrize("text", ["h = HardSigmoid (a)", "h = Add (a, row)"])
def test_what_is_an_output_of_the_network_stays_exact(text):
    """Somebody else than its quantizer reads it."""
    model = parse(
        f"""g (float[n,2,4,4] input) => (float[n,2,4,4] h, float[n,2,4,4] y) {{
            a = Conv (input, w)
            {text}
            c = Conv (h, w)
            y = Relu (c)
        }}""",
        {"w": normal(2, 2, 1, 1), "row": np.float32([[[3.0]], [[0.1]]])},
    )
    x = images(32, (2, 4, 4))
    got, want = (exact_session(each).run(None, {"input": x})[0] for each in (quantized(model, x).model, model))
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def test_channels_of_no_bits_are_zero_in_the_file():
    weight = normal(8, 4, 3, 3) * np.float32([1, 1, 1, 1, 1, 1, 1e-4, 1e-4]).reshape(-1, 1, 1, 1)
    model = parse(
        """g (float[n,3,8,8] input) => (float[n,5,2,2] y) {
            a = Conv (input, v) b = Conv (a, w) r = Relu (b) y = Conv (r, u)
        }""",
        {"v": normal(4, 3, 3, 3), "w": weight, "u": normal(5, 8, 3, 3)},
    )
    x = images(32)
    result = quantized(model, x, weight_bits=2, bit_alloc="weights", bias_correction="none")
    planned = result.plan.weights["w"]
    assert planned.bits.min() == 0
    expanded = onnxq.expand(result.model)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in expanded.graph.initializer}
    codes = stored[next(name for name in stored if name.startswith("w/") and stored[name].ndim == 4)]
    scale = stored["w/scale"].reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(codes * scale, planned.dequantized(), rtol=1e-6)


def test_small_factors_among_large_ones_stay_in_float():
    model = parse(
        "g (float[n,4,8,8] input) => (float[n,4,6,6] y) { a = Relu (input) b = Mul (a, f) y = Conv (b, w) }",
        {"f": np.float32([1e-3, 1, 2e-3, 0.5]).reshape(1, 4, 1, 1), "w": normal(4, 4, 3, 3)},
    )
    result = quantized(model, images(32, (4, 8, 8)))
    (product,) = [node for node in result.model.graph.node if node.op_type == "Mul"]
    assert "f" in product.input


@pytest.mark.parametrize(
    "mode", ['mode = "linear"', 'mode = "nearest", coordinate_transformation_mode = "tf_crop_and_resize"']
)
def test_a_resize_that_makes_other_values_gets_a_range_of_its_own(mode):
    model = parse(
        f"""g (float[n,2,4,4] input) => (float[n,2,6,6] y) {{
            a = Conv (input, w)
            r = Resize <{mode}, extrapolation_value = -9.0> (a, roi, scales)
            y = Conv (r, v)
        }}""",
        {
            "w": normal(2, 2, 1, 1), "v": normal(2, 2, 3, 3), "scales": np.float32([1, 1, 2, 2]),
            "roi": np.float32([0, 0, -0.2, -0.2, 1, 1, 1, 1]),
        },
    )  # fmt: skip
    x = images(32, (2, 4, 4))
    close(model, quantized(model, x).model, x)


def test_sums_before_a_root_are_not_quantized():
    """Layer normalization over channels, written out: no operator of ONNX."""
    model = parse(
        """g (float[n,3,8,8] input) => (float[n,5,4,4] y) {
            a = Conv (input, w1) m = ReduceMean (a, one) d = Sub (a, m) s = Pow (d, two) v = ReduceMean (s, one)
            e = Add (v, eps) r = Sqrt (e) q = Div (d, r) y = Conv (q, w2)
        }""",
        {
            "w1": normal(4, 3, 3, 3), "w2": normal(5, 4, 3, 3), "one": np.int64([1]), "two": np.float32(2),
            "eps": np.float32(1e-6),
        },
    )  # fmt: skip
    x = images(64)
    result = quantized(model, x)
    close(model, result.model, x, 0.1)
    assert "e" not in result.plan.activations


def test_a_mean_of_seven_bits_is_seven_bits_everywhere():
    result = quantized(small_network(), images(64), weight_bits=7)
    assert all((weight.bits == 7).all() for weight in result.plan.weights.values())


@pytest.mark.parametrize(("bits", "kind"), [(3, "INT4"), (4, "INT4"), (5, "INT8")])
def test_large_weights_are_no_stream(tmp_path, monkeypatch, bits, kind):
    monkeypatch.setattr(OnnxRuntime, "most_streamed", 100)
    result = quantized(small_network(), images(64), weight_bits=bits, bit_alloc="weights")
    large = result.plan.weights["w2"]
    assert large.codes.size > 100
    assert (large.bits == bits).all()
    (codes,) = [tensor for tensor in result.model.graph.initializer if tensor.name == "w2/codes"]
    assert onnx.TensorProto.DataType.Name(codes.data_type) == kind
    close(small_network(), result.model, images(8, seed=9), 1.5 if bits == 3 else 0.5)


def test_the_last_layer_of_a_small_file():
    widths = {
        name: weight.bits.mean()
        for name, weight in quantized(small_network(), images(64), weight_bits=4).plan.weights.items()
    }
    assert (widths["w1"], widths["w4"]) == (7, 5)
    asked = quantized(small_network(), images(64), weight_bits=4, edge_bits=6).plan.weights
    assert {asked[name].bits.max() for name in ("w1", "w4")} == {6}


def test_what_no_layer_reads_has_eight_bits():
    model = parse(
        """g (float[n,3,8,8] input) => (float[n,5] y) {
            a = Conv (input, w1) r = Relu (a) q = MaxPool <kernel_shape = [2, 2]> (r)
            b = Conv (q, w2) s = Add (b, q) t = Relu (s) c = Conv (t, w2) u = Relu (c)
            p = ReduceMean <keepdims = 0> (u, axes) y = Gemm <transB = 1> (p, w4)
        }""",
        {"w1": normal(4, 3, 3, 3), "w2": normal(4, 4, 1, 1), "w4": normal(5, 4), "axes": np.int64([2, 3])},
    )
    planned = quantized(model, images(64), act_bits=4).plan.activations
    assert {name: int(params.bits.max()) for name, params in planned.items()} == {
        "input": 8,  # the first layer's
        "r": 4, "q": 4, "t": 4,  # a layer reads these, the first through the pooling
        "b": 8, "u": 8, "p/pooled": 8, "p": 8,  # sums and means do, and the last layer
    }  # fmt: skip


def test_what_comes_behind_the_last_layer_is_computed_in_float(tmp_path):
    """Scores and sizes of boxes side by side, say: a range for both would leave few codes to one."""
    model = parse(
        """g (float[n,3,8,8] input) => (float[n,4,6,6] y) {
            a = Conv (input, w1) r = Relu (a) b = Conv (r, w2) c = Conv (r, w3)
            s = Sigmoid (b) m = Mul (c, c) y = Concat <axis = 1> (s, m)
        }""",
        {"w1": normal(4, 3, 3, 3), "w2": normal(2, 4, 1, 1), "w3": 9 * normal(2, 4, 1, 1)},
    )
    x = images(64)
    result = quantized(model, x)
    assert set(result.plan.activations) == {"input", "r", "b", "c"}
    found = onnxq.check(saved(result.model, tmp_path))
    assert not found.in_float
    assert set(found.others) == {"Sigmoid", "Mul", "Concat"}
    got, want = (exact_session(each).run(None, {"input": x})[0][:, :2] for each in (result.model, model))
    assert np.abs(got - want).max() < 0.02
