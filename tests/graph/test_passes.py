"""Graph rewrites, on tiny graphs in ONNX's text syntax."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import images, parse, run, small_network

from onnxq.errors import OnnxqError
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.normalize import normalize
from onnxq.recipe.points.inputs import Inputs

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def normalized(model):
    graph = to_graph(model)
    changed = normalize(graph)
    return to_model(graph, model), changed


def ops(model):
    return [node.op_type for node in model.graph.node]


def batch_norm(channels):
    return {"g": normal(channels), "o": normal(channels), "m": normal(channels), "v": np.abs(normal(channels)) + 0.1}


def assert_same_function(a, b, shape, tolerance=1e-4):
    x = images(3, shape)
    np.testing.assert_allclose(
        run(a, {"x": x}, native=False)[0], run(b, {"x": x}, native=False)[0], rtol=1e-3, atol=tolerance
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_is_folded_into_conv(bias, group):
    model = parse(
        f"""g (float[n,4,6,6] x) => (float[n,6,4,4] y) {{
            c = Conv <group = {group}> (x, w{", b" if bias else ""})
            y = BatchNormalization <epsilon = 0.01> (c, g, o, m, v)
        }}""",
        {"w": normal(6, 4 // group, 3, 3), **({"b": normal(6)} if bias else {}), **batch_norm(6)},
    )
    folded, changed = normalized(model)
    assert changed
    assert ops(folded) == ["Conv"]
    assert_same_function(model, folded, (4, 6, 6))


def test_batch_norm_is_folded_into_gemm_without_trans_b():
    model = parse(
        """g (float[n,4] x) => (float[n,6] y) {
            c = Gemm (x, w, b)
            y = BatchNormalization (c, g, o, m, v)
        }""",
        {"w": normal(4, 6), "b": normal(6), **batch_norm(6)},
    )
    folded, _ = normalized(model)
    assert ops(folded) == ["Gemm"]
    assert_same_function(model, folded, (4,))


def test_batch_norm_stays_where_the_convolution_is_used_elsewhere():
    model = parse(
        """g (float[n,4,6,6] x) => (float[n,6,4,4] y) {
            c = Conv (x, w)
            n = BatchNormalization (c, g, o, m, v)
            y = Add (n, c)
        }""",
        {"w": normal(6, 4, 3, 3), **batch_norm(6)},
    )
    folded, _ = normalized(model)
    assert "BatchNormalization" in ops(folded)
    assert_same_function(model, folded, (4, 6, 6))


def test_weights_shared_by_two_batch_norms_are_folded_apart():
    model = parse(
        """g (float[n,4,6,6] x) => (float[n,4,6,6] y) {
            c = Conv <pads = [1,1,1,1]> (x, w)
            d = BatchNormalization (c, g, o, m, v)
            e = Conv <pads = [1,1,1,1]> (d, w)
            y = BatchNormalization (e, g, o, m, v)
        }""",
        {"w": normal(4, 4, 3, 3) * np.float32(0.2), **batch_norm(4)},
    )
    folded, _ = normalized(model)
    assert ops(folded) == ["Conv", "Conv"]
    assert_same_function(model, folded, (4, 6, 6), tolerance=1e-2)


def test_gemm_weights_get_output_channels_first():
    model = parse("g (float[n,4] x) => (float[n,6] y) { y = Gemm <alpha = 0.5> (x, w) }", {"w": normal(4, 6)})
    folded, _ = normalized(model)
    assert folded.graph.initializer[0].dims == [6, 4]
    assert_same_function(model, folded, (4,))


def test_identities_and_constants_are_removed():
    model = parse(
        """g (float[n,4] x) => (float[n,4] y) {
            two = Constant <value = float {2.0}> ()
            i = Identity (x)
            d = Dropout (i)
            y = Mul (d, two)
        }"""
    )
    folded, _ = normalized(model)
    assert ops(folded) == ["Mul"]
    assert_same_function(model, folded, (4,))


def test_older_opsets_are_converted():
    model = small_network()
    older = small_network()
    older.opset_import[0].version = 13  # whose operators these are, too
    folded, _ = normalized(older)
    assert folded.opset_import[0].version == 21
    x = images(2)
    want, got = (run(m, {"input": x}, native=False)[0] for m in (model, folded))
    np.testing.assert_allclose(want, got, atol=1e-5)


def test_metadata_survives():
    folded, _ = normalized(small_network())
    assert {entry.key for entry in folded.metadata_props} >= {"mean", "std"}


def test_layers_are_found_and_understood():
    graph = to_graph(small_network())
    normalize(graph)
    network = network_of(graph)
    first, _, third, last = network.layers
    assert [layer.first_or_last for layer in network.layers] == [True, False, False, True]
    assert (last.op, last.weight.shape, last.bias.shape) == ("Gemm", (5, 7), (5,))
    assert (first.pads, first.strides, first.dilations, first.group) == ((1, 1, 1, 1), (1, 1), (1, 1), 1)
    assert network.layers[1].bias is None
    assert not any(layer.computed_bias for layer in network.layers)
    points = {point.tensor: point for point in Inputs().of(network)}
    assert (points["input"].pre_activation, points["input"].non_negative) == (None, False)
    assert points["ra"].pre_activation == "a"
    behind_pool = points[third.input]
    assert (behind_pool.pre_activation, behind_pool.non_negative) == (None, True), "behind MaxPool of a ReLU"
    assert points[last.input].non_negative


def test_a_clip_below_zero_is_not_one_sided():
    model = parse(
        """g (float[n,4,6,6] x) => (float[n,6,4,4] y) {
            c = Clip (x, low, high)
            y = Conv (c, w)
        }""",
        {"low": np.float32(-1), "high": np.float32(6), "w": normal(6, 4, 3, 3)},
    )
    graph = to_graph(model)
    normalize(graph)
    (point,) = Inputs().of(network_of(graph))
    assert point.pre_activation is None
    assert not point.non_negative


def test_a_quantized_model_is_refused():
    model = small_network()
    to_graph(model)
    model.opset_import.append(onnx.helper.make_opsetid("onnxq", 1))
    model.graph.node.append(onnx.helper.make_node("FakeQuantize", ["logits"], ["q"], domain="onnxq"))
    with pytest.raises(OnnxqError, match="already has onnxq operators"):
        to_graph(model)


AFFINE = {
    "a factor": "m = Mul (c, half) y = Identity (m)",
    "a factor a channel": "m = Mul (column, c) y = Identity (m)",
    "a sum": "m = Add (c, half) y = Identity (m)",
    "a sum a channel": "m = Add (c, flat) y = Identity (m)",
    "both": "m = Mul (c, column) y = Add (m, half)",
}
STAY = {
    "another axis": "m = Mul (c, row) y = Identity (m)",
    "higher rank": "m = Mul (c, tall) y = Identity (m)",
    "another reader": "m = Mul (c, half) y = Add (m, c)",
    "twice": "y = Mul (c, c)",
    "not constant": "y = Mul (c, x)",
}
VALUES = {
    "half": np.float32(0.5), "column": normal(1, 4, 1, 1), "flat": normal(4, 1, 1), "row": normal(1, 1, 1, 4),
    "tall": normal(2, 1, 1, 1, 1), "w": normal(4, 4, 1, 1),
}  # fmt: skip


def scaled(text):
    rank = "float[k,n,4,4,4]" if "tall" in text else "float[n,4,4,4]"
    return parse(f"g (float[n,4,4,4] x) => ({rank} y) {{ c = Conv (x, w) {text} }}", VALUES)


@pytest.mark.parametrize("kind", AFFINE)
def test_constants_on_channels_are_folded(kind):
    model = scaled(AFFINE[kind])
    folded, changed = normalized(model)
    assert changed
    assert set(ops(folded)) <= {"Conv", "Identity"}
    assert_same_function(model, folded, (4, 4, 4))


@pytest.mark.parametrize("kind", STAY)
def test_what_is_not_of_channels_stays(kind):
    model = scaled(STAY[kind])
    stayed, _ = normalized(model)
    assert len(ops(stayed)) == len(ops(model))
    assert_same_function(model, stayed, (4, 4, 4))


def test_a_mean_that_drops_its_axes_is_pooled():
    model = parse(
        "g (float[n,3,4,4] x) => (float[n,3] y) { y = ReduceMean <keepdims = 0> (x, axes) }",
        {"axes": np.int64([-1, 2])},
    )
    pooled, _ = normalized(model)
    assert ops(pooled) == ["GlobalAveragePool", "Flatten"]
    assert_same_function(model, pooled, (3, 4, 4))


INTEGER_FORM = {
    "HardSwish": "y = HardSwish (x)",
    "written out": "t = Add (three, x) k = Clip (t, zero, six) p = Mul (k, x) y = Div (p, six)",
    "quotient": "y = Div (x, six)",
    "quotient by a scalar": "y = Div (x, three)",
    "batch norm": "y = BatchNormalization (x, g, o, m, v)",
}


@pytest.mark.parametrize("square", ["Pow (d, two)", "Mul (d, d)"])
def test_layer_norm_is_one_operator(square):
    model = parse(
        f"""g (float[n,5,4] x) => (float[n,5,4] y) {{
            mean = ReduceMean (x, axes) d = Sub (x, mean) s = {square} v = ReduceMean (s, axes) e = Add (v, eps)
            r = Sqrt (e) q = Div (d, r) p = Mul (q, g4) y = Add (p, b4)
        }}""",
        {"axes": np.int64([-1]), "two": np.float32(2), "eps": np.float32(1e-3), "g4": normal(4), "b4": normal(4)},
    )
    graph = to_graph(model, shapes=True)
    assert normalize(graph, for_integer_kernels=True)
    rewritten = to_model(graph, model)
    assert ops(rewritten) == ["LayerNormalization"]
    assert_same_function(model, rewritten, (5, 4))


@pytest.mark.parametrize("kind", INTEGER_FORM)
def test_operators_with_integer_kernels(kind):
    values = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32([6]), **batch_norm(4)}
    model = parse(f"g (float[n,4,4,4] x) => (float[n,4,4,4] y) {{ {INTEGER_FORM[kind]} }}", values)
    graph = to_graph(model, shapes=True)
    assert normalize(graph, for_integer_kernels=True)
    rewritten = to_model(graph, model)
    assert set(ops(rewritten)) <= {"HardSigmoid", "Mul", "Conv"}
    assert_same_function(model, rewritten, (4, 4, 4))


@pytest.mark.parametrize(
    "text", ["t = Add (x, two) k = Clip (t, zero, six) y = Mul (x, k)", "y = Div (six, x)", "y = Div (x, x)"]
)
def test_what_only_looks_like_a_hard_swish(text):
    values = {"two": np.float32(2), "zero": np.float32(0), "six": np.float32(6)}
    model = parse(f"g (float[n,4,4,4] x) => (float[n,4,4,4] y) {{ {text} }}", values)
    graph = to_graph(model, shapes=True)
    normalize(graph, for_integer_kernels=True)
    assert ops(to_model(graph, model)) == ops(model)


@pytest.mark.parametrize("reshape", ["Reshape (flat, shape)", "Unsqueeze (flat, axes)"])
def test_a_bias_that_is_reshaped_is_folded(reshape):
    model = parse(
        f"g (float[n,4,4,4] x) => (float[n,4,4,4] y) {{ c = Conv (x, w) b = {reshape} y = Add (c, b) }}",
        {"w": normal(4, 4, 1, 1), "flat": normal(4), "shape": np.int64([1, -1, 1, 1]), "axes": np.int64([0, 2, 3])},
    )
    folded, _ = normalized(model)
    assert ops(folded) == ["Conv"]
    assert_same_function(model, folded, (4, 4, 4))


def test_a_product_of_rows_is_a_gemm():
    model = parse(
        "g (float[n,4] x) => (float[n,3] y) { m = MatMul (x, w) y = Add (m, b) }", {"w": normal(4, 3), "b": normal(3)}
    )
    folded, _ = normalized(model)
    assert ops(folded) == ["Gemm"]
    assert_same_function(model, folded, (4,))
