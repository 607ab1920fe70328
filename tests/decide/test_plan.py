"""The deciding stage: no model, no session."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxq.allocation.published import allocate
from onnxq.core.aciq import laplace_multiplier
from onnxq.core.layers import Layer
from onnxq.core.network import Network
from onnxq.core.observation import observe
from onnxq.core.points import QuantPoint
from onnxq.core.statistics import Statistics
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.decide import decide
from onnxq.errors import OnnxqError
from onnxq.formats.affine import fake_quantize
from onnxq.recipe import Recipe
from onnxq.refine.biases_from_statistics import CorrectBiases
from onnxq.refine.refinement import Draft, Run

RANDOM = np.random.default_rng(0)
BEFORE = RANDOM.laplace(0.1, 1, (64, 3, 12, 12)).astype(np.float32)
TENSORS = {"image": BEFORE * 2, "pre": BEFORE, "x": np.maximum(BEFORE, 0), "flat": np.abs(BEFORE[:, :, 0, 0])}


def weight(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


BEHIND: dict[str, tuple[str | None, bool]] = {}  # layer -> what is before its input's ReLU, and whether that is >= 0


def layer(name, tensor, before=None, edge=False, non_negative=False, values=None):
    values = weight(4, 3, 3, 3) if values is None else values
    BEHIND[name] = (before, non_negative)
    return Layer(name, "Conv", tensor, f"{name}.out", f"{name}.w", values, first_or_last=edge)


def points_of(layers):
    """Quantizers at the inputs of layers."""
    tensors = dict.fromkeys(layer.input for layer in layers)
    users = {tensor: tuple(layer.name for layer in layers if layer.input == tensor) for tensor in tensors}
    return [
        QuantPoint(tensor, 4, names, names, True, pre_activation=BEHIND[names[0]][0], non_negative=BEHIND[names[0]][1])
        for tensor, names in users.items()
    ]


LAYERS = [
    layer("first", "image", edge=True),
    layer("middle", "x", "pre", non_negative=True),
    layer("other", "x", "pre", non_negative=True),
    layer("last", "flat", edge=True, non_negative=True, values=weight(5, 3)),
]
STATISTICS = Statistics("f", 64, {name: TensorStatistics.of(observe(value)) for name, value in TENSORS.items()})


def plan(layers=LAYERS, **fields):
    plain = {"scheme": "aciq-laplace", "bit_alloc": "none", "weight_correction": "none", "bias_correction": "none"}
    return decide(layers, points_of(layers), STATISTICS, Recipe.of(**{**plain, **fields}).resolved())


def test_edges_have_their_own_bits_and_shared_tensors_one_grid():
    got = plan(act_bits=3, weight_bits=2, edge_bits=7)
    assert {name: int(grid.bits.max()) for name, grid in got.activations.items()} == {"image": 7, "x": 3, "flat": 7}
    assert {name: int(coded.bits.max()) for name, coded in got.weights.items()} == {
        "first.w": 7, "middle.w": 2, "other.w": 2, "last.w": 7,
    }  # fmt: skip
    assert got.layers == ("first", "middle", "other", "last")


def test_a_tensor_shared_with_an_edge_takes_the_wider_bits():
    got = plan(
        [layer("a", "x", "pre", non_negative=True), layer("b", "x", "pre", edge=True, non_negative=True)], act_bits=4
    )
    assert got.activations["x"].bits.max() == 8


def test_granularity():
    got = plan()
    assert got.activations["x"].scale.shape == (3,)
    assert got.activations["flat"].scale.shape == (1,), "one value a channel and image: quantized as a whole"
    assert got.weights["middle.w"].params.scale.shape == (4,)
    got = plan(act_granularity="per-tensor", weight_granularity="per-tensor")
    assert got.activations["x"].scale.shape == got.weights["middle.w"].params.scale.shape == (1,)


def test_minmax_takes_the_range_seen():
    grid = plan(scheme="minmax").activations["x"]
    np.testing.assert_allclose(grid.upper, TENSORS["x"].max(axis=(0, 2, 3)), rtol=1e-6)
    assert (grid.lower == 0).all()


def test_aciq_uses_the_tensor_before_the_relu_and_one_more_bit():
    grid = plan(scheme="aciq-laplace", act_bits=3).activations["x"]
    flat = BEFORE.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    mean = flat.mean(axis=1)
    b = np.abs(flat - mean[:, None]).mean(axis=1)
    want = np.maximum(mean, 0) + laplace_multiplier(4) * b
    np.testing.assert_allclose(grid.upper, np.minimum(want, TENSORS["x"].max(axis=(0, 2, 3))), rtol=5e-3)


def test_aciq_without_a_tensor_before_the_relu_finds_the_same_threshold():
    """The positive half of a Laplace density centred at zero is exponential with mean b."""
    x = np.maximum(RANDOM.laplace(0, 1.5, (16, 2, 40, 40)), 0).astype(np.float32)
    statistics = Statistics("f", 16, {"x": TensorStatistics.of(observe(x))})
    grid = decide(
        layers := [layer("l", "x", non_negative=True)],
        points_of(layers),
        statistics,
        Recipe.of("aciq-laplace", act_bits=2, edge_bits=2, bit_alloc="none", bias_correction="none").resolved(),
    ).activations["x"]
    np.testing.assert_allclose(grid.upper, 1.5 * laplace_multiplier(3), rtol=0.03)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "scheme", ["minmax", "aciq", "aciq-laplace", "aciq-gauss", "std", "percentile", "mse", "entropy"]
)
def test_ranges_stay_within_what_was_seen(scheme):
    for name, grid in plan(scheme=scheme, act_bits=8).activations.items():
        seen = STATISTICS.tensors[name]
        own = seen if grid.scale.size > 1 else seen.whole()
        step = grid.scale
        assert (grid.lower >= np.minimum(own.minimum, 0) - step).all()
        assert (grid.upper <= own.maximum + step).all()


@pytest.mark.parametrize("bits", [2, 3.4, 4, 5.3, 8])
@pytest.mark.parametrize("scheme", ["aciq", "mse", "entropy", "minmax"])
def test_bits_of_channels_meet_their_mean(bits, scheme):
    signed = layer("signed", "pre")
    got = plan([*LAYERS, signed], scheme=scheme, act_bits=bits, weight_bits=bits, bit_alloc="both")
    for tensor in ("x", "pre"):
        assert got.activations[tensor].bits.sum() == int(3 * bits)
    assert got.weights["middle.w"].bits.sum() == int(4 * bits)
    assert (got.activations["image"].bits == 8).all(), "edges keep their own"
    assert got.activations["flat"].bits.tolist() == [8]


def test_the_published_allocation_is_that_of_the_published_loop():
    got = plan(act_bits=3, weight_bits=3, bit_alloc="both", published=True)
    rows = LAYERS[1].weight.reshape(4, -1)
    assert (got.weights["middle.w"].bits == allocate(rows.std(axis=1, ddof=1), 3)).all()
    assert (got.activations["x"].bits == allocate(STATISTICS.tensors["pre"].std, 3)).all()


@pytest.mark.parametrize("bits", [3.2, 7.9])
def test_mid_tread_of_channels_of_one_weight(bits):
    """A depthwise 1x1 layer, constant channels among it: each weight is its channel's mean, and stays."""
    values = np.float32([[0.5], [-2], [0], [1e-3]])[:, :, None, None]
    got = plan([layer("l", "x", values=values)], scheme="mid-tread", act_bits=bits, weight_bits=bits)
    np.testing.assert_allclose(got.weights["l.w"].dequantized(), values, rtol=1e-6)


def test_bits_go_to_the_channels_that_the_layers_weigh_most():
    values = np.full((4, 3, 1, 1), 0.01, np.float32)
    values[:, 1] = 1
    bits = plan([layer("l", "x", "pre", non_negative=True, values=values)], scheme="aciq", bit_alloc="both")
    assert bits.activations["x"].bits.argmax() == 1


def test_the_best_prior_of_each_channel():
    grids = {
        scheme: plan(scheme=scheme, act_bits=3).activations["x"]
        for scheme in ("aciq", "aciq-laplace", "aciq-gauss", "minmax", "mse")
    }
    seen = STATISTICS.tensors["x"]
    error = {
        scheme: grid.expected_squared_error(seen.histogram, seen.anchor.astype(float)) for scheme, grid in grids.items()
    }
    assert (error["aciq"] == np.minimum(np.minimum(error["aciq-laplace"], error["aciq-gauss"]), error["minmax"])).all()
    assert (error["mse"] <= error["aciq"] * 1.01).all(), "the search knows no prior"


def test_bias_shifts_follow_from_the_statistics():
    """On an input without borders the expected shift is the measured one."""
    values = weight(4, 3, 1, 1)
    layers = [layer("l", "x", "pre", non_negative=True, values=values)]
    network = Network((), tuple(layers), (), (), {})
    draft = Draft(
        onnx.ModelProto(), None, network, STATISTICS, Recipe().resolved(), plan(layers, act_bits=2, weight_bits=2)
    )
    got = CorrectBiases().apply(draft, [], Run()).plan
    quantized_weight = got.weights["l.w"].dequantized()
    exact = np.einsum("nihw,oi->o", TENSORS["x"], values[:, :, 0, 0], dtype=np.float64)
    quantized_x = fake_quantize(TENSORS["x"], got.activations["x"], axis=1)
    approximate = np.einsum("nihw,oi->o", quantized_x, quantized_weight[:, :, 0, 0], dtype=np.float64)
    shift = (exact - approximate) / (64 * 12 * 12)
    np.testing.assert_allclose(got.biases["l"], shift, rtol=0.03, atol=2e-3)


def test_outputs_are_planned_where_points_say():
    statistics = Statistics("f", 64, {"first.out": STATISTICS.tensors["pre"]})
    points = [QuantPoint(f"{la.name}.out", 4, (), (la.name,)) for la in LAYERS]
    recipe = Recipe.of(placement="outputs").resolved()
    assert list(decide(LAYERS[:1], points[:1], statistics, recipe).activations) == ["first.out"]
    with pytest.raises(OnnxqError, match="with the same `points`"):
        decide(LAYERS, points, statistics, recipe)


def test_skip_by_pattern():
    got = plan(skip=("m*", "last"))
    assert got.layers == ("first", "other")
    with pytest.raises(OnnxqError, match="no layer has such a name"):
        plan(skip=("nothing*",))
    with pytest.raises(OnnxqError, match="left to quantize"):
        plan(skip=("*",))


def test_qdq_ranges_contain_zero():
    positive = np.abs(weight(4, 3, 3, 3)) + 1
    got = plan([layer("l", "image", values=positive)], format="qdq")
    assert (got.weights["l.w"].params.zero_point == 0).all()


def test_missing_statistics_are_named():
    with pytest.raises(OnnxqError, match="no tensor elsewhere"):
        plan([layer("l", "elsewhere")])


@pytest.mark.parametrize(
    "fields",
    [{"act_bits": 1}, {"weight_bits": 9}, {"edge_bits": 0}, {"scheme": "x"}, {"format": "x"}, {"act_granularity": "x"},
     {"act_bits": 4.5, "bit_alloc": "weights"}, {"weight_bits": 4.5, "bit_alloc": "none"}, {"bit_alloc": "x"},
     {"format": "qdq", "bit_alloc": "both"}, {"format": "qdq", "weight_correction": "mean"}, {"edge_bits": 4.5},
     {"format": "qdq", "scheme": "mid-tread"}, {"weights": "kmeans", "weight_bits": 4.5}, {"scheme": "mse", "ranges": "dynamic"},
     {"placement": "outputs", "bias_correction": "statistics"}, {"placement": "outputs", "bias_correction": "images"},
     {"ranges": "dynamic", "scheme": "aciq-laplace", "bias_correction": "statistics"},
     {"std_multiplier": 0}, {"percentile": 50}, {"act_bits": 12}, {"scheme": "fixed-point", "weight_bits": 17},
     {"scheme": "fixed-point", "weight_correction": "mean"}, {"scheme": "apot", "format": "qdq"},
     {"scheme": "apot", "bit_alloc": "both"}, {"scheme": "histogram", "bit_alloc": "weights"}, {"bit_true": True},
     {"scheme": "fixed-point", "bit_true": True}, {"alpha": {"*": {"weight": 3}}}, {"scheme": "apot", "alpha": {"*": {"x": 3}}},
     {"scheme": "apot", "alpha": {"*": 3}}, {"scheme": "apot", "alpha": {"*": {"weight": 0}}}, {"scheme": "apot", "alpha": []},
     {"scheme": "aciq", "symmetric": True}, {"moving_average": True}, {"overflow_rate": 1}, {"rounding": "up"},
     {"scheme": "percentile", "moving_average": True, "symmetric": False}, {"renormalize": "yes"},
     {"act_bits": None, "ranges": "dynamic", "scheme": "minmax"}, {"act_bits": None, "bit_alloc": "both"},
     {"placement": "every-op", "bias_correction": "statistics"}, {"ranges": "dynamic", "scheme": "minmax", "symmetric": True}],
)  # fmt: skip
def test_recipes_are_checked(fields):
    with pytest.raises(OnnxqError, match=r"[a-z]"):
        Recipe.of(**fields)
