"""Layers beyond Conv and Gemm: products of tensors of any rank, ConvTranspose, recurrent networks; what stays is said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import images, parse, run

import onnxq
from onnxq.core.network import Network
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.normalize import normalize
from onnxq.graph.weights import float_weights

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def normalized(model) -> tuple[onnx.ModelProto, Network]:
    graph = to_graph(model, shapes=True)
    normalize(graph)
    return to_model(graph, model), network_of(graph)


@pytest.mark.parametrize(
    ("shape", "x"),
    [
        ("n,7,4", (2, 7, 4)),
        ("n,t,4", (2, 5, 4)),
        ("n,h,w,4", (2, 3, 3, 4)),
        ("n,4", (3, 4)),
        ("4", (4,)),
        ("n,t,4", (0, 5, 4)),
        ("n,t,4", (2, 0, 4)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_products_of_any_rank_become_gemms(shape, x, bias):
    """The same function, of empty sequences too; one tensor read twice has one Reshape."""
    rank = len(x)
    result = ",".join([*shape.split(",")[:-1], "6"])
    add = "m = MatMul(x, w)  y = Add(m, b)" if bias else "y = MatMul(x, w)"
    model = parse(
        f"g (float[{shape}] x) => (float[{result}] y, float[{result}] z) {{ {add}  z = MatMul(x, v) }}",
        {"w": normal(4, 6), "v": normal(4, 6), **({"b": normal(6)} if bias else {})},
    )
    made, network = normalized(model)
    assert [layer.op for layer in network.layers] == ["Gemm", "Gemm"]
    assert sum(node.op_type == "MatMul" for node in made.graph.node) == 0
    value = normal(*x)
    for got, want in zip(*(run(each, {"x": value}, native=False) for each in (made, model)), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    if rank != 2:
        reading = [node for node in made.graph.node if node.op_type == "Reshape" and node.input[0] == "x"]
        assert len(reading) == 1


def test_what_is_no_linear_layer_stays():
    """Two activations, a constant in front, a bias that is read elsewhere or an output."""
    model = parse(
        """g (float[n,4,4] x) => (float[n,4,4] y, float[n,4,4] m) {
            a = MatMul(x, x)  b = MatMul(w, a)  m = MatMul(b, w)  y = Add(m, c) }""",
        {"w": normal(4, 4), "c": normal(4)},
    )
    made, network = normalized(model)
    assert len(network.layers) == 1 and sum(node.op_type == "Add" for node in made.graph.node) == 1
    x = normal(2, 4, 4)
    for got, want in zip(*(run(each, {"x": x}, native=False) for each in (made, model)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.fixture
def upward():
    """A ConvTranspose in two groups between convolutions."""
    return parse(
        """g (float[n,4,6,6] x) => (float[n,3,12,12] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)  r = Relu(a)
            u = ConvTranspose <kernel_shape = [2,2], strides = [2,2], group = 2> (r, t, s)  p = Relu(u)
            y = Conv(p, v) }""",
        {"w": normal(4, 4, 3, 3), "t": normal(4, 3, 2, 2), "s": normal(6), "v": normal(3, 6, 1, 1)},
    )


@pytest.fixture
def recurrent():
    """An LSTM and a GRU over a sequence."""
    return parse(
        """g (float[n,3,t] x) => (float[t,n,5] y) {
            c = Conv <pads = [1,1]> (x, w)  p = Transpose <perm = [2,0,1]> (c)
            h = LSTM <hidden_size = 6> (p, lw, lr, lb)  q = Squeeze(h, axis)
            k = GRU <hidden_size = 6> (q, gw, gr)  r = Squeeze(k, axis)  y = MatMul(r, v) }""",
        {
            "w": normal(4, 3, 3), "lw": normal(1, 24, 4), "lr": normal(1, 24, 6), "lb": normal(1, 48),
            "gw": normal(1, 18, 6), "gr": normal(1, 18, 6), "v": normal(6, 5), "axis": np.int64([1]),
        },
    )  # fmt: skip


CASES = {"upward": ((2, 4, 6, 6), 1), "recurrent": ((2, 3, 9), 4)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "options", [{}, {"scheme": "apot"}, {"format": "qdq"}, {"target": "onnxruntime", "weight_bits": 7}], ids=str
)
def test_weights_of_other_nodes_are_codes(name, options, request):
    model = request.getfixturevalue(name)
    shape, count = CASES[name]
    batches = [normal(*shape) for _ in range(4)]
    recipe = onnxq.Recipe.of(**{"weight_bits": 8, "act_bits": 8, "rounding": "nearest", **options})
    result = onnxq.quantize(model, None, recipe, images=batches)
    assert len(result.plan.stored) == count and result.share == 1 and not result.left
    want, got = (run(each, {"x": batches[0]}, native=None)[0].astype(np.float64) for each in (model, result.model))
    bound = 0.02 if options.get("scheme") is None else 0.2
    assert np.square(want - got).sum() < bound * np.square(want).sum()
    weights_only = onnxq.quantize(model, None, onnxq.Recipe.of(weight_bits=8, act_bits=None))
    got = run(weights_only.model, {"x": batches[0]}, native=None)[0].astype(np.float64)
    assert np.square(want - got).sum() < 0.001 * np.square(want).sum()


def test_they_can_be_left_out_and_have_bits_of_their_own(recurrent):
    recipe = onnxq.Recipe.of(
        weight_bits=4, act_bits=None, skip=["LSTM*"], overrides=[{"layers": "GRU*", "weight_bits": 8}]
    )
    plan = onnxq.quantize(recurrent, None, recipe).plan
    widths = {name: int(weight.bits.max()) for name, weight in plan.weights.items() if name.startswith(("g", "l"))}
    assert set(widths.values()) == {8} and len(widths) == 2


def test_what_stays_in_float_is_said(recurrent):
    result = onnxq.quantize(recurrent, None, onnxq.Recipe.of(weight_bits=4, act_bits=None, skip=["LSTM*"]))
    total = 4 * 3 * 3 + 24 * 4 + 24 * 6 + 18 * 6 + 18 * 6 + 30
    assert result.weights == total and result.left == {"LSTM": 24 * 10}
    assert result.share == pytest.approx(1 - 240 / total)
    assert result.notes[0] == f"{100 * 240 / total:.1f} % of the weights stay in float: LSTM {100 * 240 / total:.1f} %"


def test_weights_inside_branches_count(upward):
    model = parse(
        """g (float[n,2,4,4] x, bool c) => (float[n,2,4,4] y) { a = Conv(x, v)
            y = If (c) <then_branch = t () => (float[n,2,4,4] p) { p = Conv(a, w) },
                        else_branch = e () => (float[n,2,4,4] q) { q = Neg(a) }> }""",
        {"w": normal(2, 2, 1, 1), "v": normal(2, 2, 1, 1)},
    )
    assert float_weights(to_graph(model))["Conv"] == 8
    result = onnxq.quantize(model, None, onnxq.Recipe.of(act_bits=None))
    assert not result.left and result.share == 1
    assert [note for note in result.notes if "their weights alone" in note]


INSIDE = """
    m (float[N, 3, 8, 8] x, bool flag, int64 count) => (float[N, 5] y) {
        a = Conv(x, outer)
        b = If (flag) <
            then_branch = yes () => (float[N, 4, 8, 8] t) { t = Conv(a, shared, bias) },
            else_branch = no () => (float[N, 4, 8, 8] e) { d = Conv(a, shared)  e = Relu(d) }
        >
        p = GlobalAveragePool(b)
        f = Flatten(p)
        forever = Constant <value = bool {1}> ()
        l = Loop (count, forever, f) <
            body = step (int64 i, bool go, float[N, 4] before) => (bool on, float[N, 4] after) {
                on = Identity(go)
                matrix = Constant <value = float[4, 4] {1,0,0,0.1, 0,1,0,0, 0,0.3,1,0, 0,0,0,1}> ()
                after = MatMul(before, matrix)
            }
        >
        y = Gemm(l, last)
    }
"""


def test_weights_inside_if_and_loop_are_stored_as_codes(random):
    weights = {
        "outer": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "shared": random.normal(size=(4, 4, 1, 1)).astype(np.float32),
        "bias": random.normal(size=4).astype(np.float32),
        "last": random.normal(size=(4, 5)).astype(np.float32),
    }
    weights["outer"] = np.ascontiguousarray(weights["outer"][:, :, 1:2, 1:2])
    model = parse(INSIDE, weights)
    for format in ("onnxq", "qdq"):
        result = onnxq.quantize(model, None, onnxq.Recipe.of(act_bits=None, weight_bits=8, format=format))
        assert result.share == 1
        assert sorted(name.rpartition("/")[2] for name in result.plan.stored) == ["weight", "weight"]  # one is shared
        onnx.checker.check_model(result.model, full_check=True)
        for flag in (True, False):
            feeds = {"x": images(2), "flag": np.array(flag), "count": np.array(3)}
            (want,), (got,) = (run(each, feeds, native=False) for each in (model, result.model))
            np.testing.assert_allclose(got, want, atol=0.05 * np.abs(want).max())
            assert not np.array_equal(got, want)
