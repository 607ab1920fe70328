"""Cross-layer equalization: the same function, with channels of more equal ranges."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import images, parse, run

import onnxq
from onnxq.errors import OnnxqError
from onnxq.graph.conversion import to_graph
from onnxq.graph.normalize import normalize
from onnxq.graph.pairs import pairs_of

RANDOM = np.random.default_rng(0)
SPREAD = np.exp(RANDOM.uniform(-3, 3, 8)).astype(np.float32)  # ranges of channels, far apart

MOBILE = """g (float[n,3,6,6] input) => (float[n,4,6,6] y) {
    a = Conv (input, w1, b1)
    r = %s (a%s)
    b = Conv <group = 8, pads = [1,1,1,1]> (r, w2, b2)
    s = Relu (b)
    y = Conv (s, w3)
}"""


def network(kind="Relu", bounds=""):
    def normal(*shape):
        return RANDOM.standard_normal(shape).astype(np.float32)

    weights = {
        "w1": normal(8, 3, 1, 1) * SPREAD.reshape(-1, 1, 1, 1), "b1": normal(8) * SPREAD, "w2": normal(8, 1, 3, 3) / SPREAD.reshape(-1, 1, 1, 1),
        "b2": normal(8), "w3": normal(4, 8, 1, 1), "low": np.float32(0), "six": np.float32(6),
    }  # fmt: skip
    if kind == "Relu":
        del weights["low"], weights["six"]
    return parse(MOBILE % (kind, bounds), weights)


def ranges(model, x, tensor):
    return onnxq.calibrate(model, [x]).tensors[tensor].maximum


@pytest.mark.parametrize(("kind", "bounds"), [("Relu", ""), ("Clip", ", low, six")])
def test_the_same_function_with_equal_ranges(kind, bounds):
    model, x = network(kind, bounds), images(16, (3, 6, 6))
    result, scaled = onnxq.equalize(model, onnxq.calibrate(model, [x]))
    assert scaled == 2
    want, got = (run(m, {"input": x}, native=False)[0] for m in (model, result))
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
    before, after = ranges(model, x, "r"), ranges(result, x, "r")
    np.testing.assert_allclose(after[before > 0], before.max() if kind == "Relu" else 6, rtol=1e-5)
    before, after = ranges(model, x, "s"), ranges(result, x, "s")
    assert after.max() / after[after > 0].min() < before.max() / before[before > 0].min()
    assert after.max() == pytest.approx(before.max(), rel=1e-5)


def test_it_pays_per_tensor():
    model, x = network(), images(64, (3, 6, 6))
    want = run(model, {"input": x}, native=False)[0]
    errors = []
    for candidate in (model, onnxq.equalize(model, onnxq.calibrate(model, [x]))[0]):
        recipe = onnxq.Recipe.of(act_bits=6, weight_bits=8, act_granularity="per-tensor", edge_bits=6)
        quantized = onnxq.quantize(candidate, onnxq.calibrate(candidate, [x]), recipe).model
        errors.append(np.square(run(quantized, {"input": x}, native=False)[0] - want).mean())
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    "text",
    [
        "a = Conv (input, w) b = Conv (a, v) c = Relu (a) y = Add (b, c)",  # two readers
        "a = Conv (input, w) b = Relu (a) c = Conv (b, w) y = Relu (c)",  # one weight for both
        "a = Conv (input, w) b = Sigmoid (a) y = Conv (b, v)",  # not homogeneous
        "a = Conv (input, w) b = Conv <group = 2> (a, half) y = Relu (b)",  # groups of two
    ],
)
def test_what_cannot_be_scaled(text):
    weights = {name: np.ones((4, 4, 1, 1), np.float32) for name in ("w", "v") if f" {name})" in text}
    if "half" in text:
        weights["half"] = np.ones((4, 2, 1, 1), np.float32)
    model = parse(f"g (float[n,4,6,6] input) => (float[n,4,6,6] y) {{ {text} }}", weights)
    graph = to_graph(model)
    normalize(graph)
    assert pairs_of(graph) == []


def test_layers_that_are_like_no_others():
    """A grouped first layer, Gemm behind Gemm with biases of other shapes, a dead channel, a Flatten between."""

    def normal(*shape):
        return RANDOM.standard_normal(shape).astype(np.float32)

    dead = normal(4, 2, 3, 3)
    dead[1] = 0
    model = parse(
        """g (float[n,4,6,6] input) => (float[n,5] y) {
            a = Conv <group = 2> (input, w1)
            r = Relu (a)
            b = Conv (r, w2)
            f = Flatten (b)
            c = Gemm (f, w3, one)
            d = Relu (c)
            e = Gemm <transB = 1, alpha = 0.5> (d, w4, row)
            y = Gemm <transB = 1> (e, w5)
        }""",
        {"w1": dead, "w2": normal(3, 4, 1, 1), "w3": normal(48, 6), "one": np.float32(0.3), "w4": normal(4, 6),
         "row": normal(1, 4), "w5": normal(5, 4)},
    )  # fmt: skip
    x = images(16, (4, 6, 6))
    result, scaled = onnxq.equalize(model, onnxq.calibrate(model, [x]))
    assert scaled == 3
    want, got = (run(m, {"input": x}, native=False)[0] for m in (model, result))
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_a_bias_for_each_row_is_left_alone():
    weights = {
        "w": np.ones((4, 3), np.float32),
        "b": np.arange(16, dtype=np.float32).reshape(4, 4),
        "v": np.ones((2, 4), np.float32),
    }
    text = "a = Gemm <transB = 1> (input, w, b) y = Gemm <transB = 1> (a, v)"
    graph = to_graph(parse(f"g (float[4,3] input) => (float[4,2] y) {{ {text} }}", weights))
    normalize(graph)
    assert pairs_of(graph) == []


def test_statistics_of_another_placement():
    model, x = network(), images(4, (3, 6, 6))
    with pytest.raises(OnnxqError, match="`points` inputs"):
        onnxq.equalize(model, onnxq.calibrate(model, [x], points="every-op"))


def test_statistics_of_another_model():
    x = images(4, (3, 6, 6))
    with pytest.raises(OnnxqError, match="another model"):
        onnxq.equalize(network(), onnxq.calibrate(network("Clip", ", low, six"), [x]))
