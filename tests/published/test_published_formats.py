"""The worked examples of three published systems: additive powers of two, fixed point, symmetric histogram ranges."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import code_weight, fit_activation, run, small_network

import onnxq
from onnxq.core.observation import observe
from onnxq.core.observed import Observed
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.formats import FORMATS, codebook, fixed_point, mid_tread
from onnxq.formats.fixed_point import FixedPointParams, integer_bits, published_integer_bits
from onnxq.formats.powers_of_two import AdditivePowersOfTwo, additive_levels, power_levels
from onnxq.observe import calibrate
from onnxq.recipe import Recipe

W = np.float32([-0.9, -0.45, -0.2, -0.05, 0, 0.1, 0.3, 0.7])
NORMALIZED = [-1.744278, -0.807054, -0.286374, 0.026034, 0.130170, 0.338442, 0.754986, 1.588074]
A = np.float32([-0.5, 0, 0.2, 0.5, 1, 1.7, 2.4, 3, 4.2, 5.5, 6, 9])
PLAIN = {"weight_granularity": "per-tensor", "weight_correction": "none", "act_granularity": "per-tensor"}


def seen_of(x, half=False):
    return Observed(TensorStatistics.of(observe(np.float32(x).reshape(1, 1, -1))), None, half)


# ---- additive powers of two


NUMERATORS = {
    2: [0, 1, 2, 4],
    3: [0, 1, 2, 3, 4, 6, 8, 10],
    4: [0, 1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 33, 36, 48],
    5: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 17, 20, 21, 24, 28, 32, 34, 36, 38, 48, 52, 64, 65, 68, 69, 72, 76,
        96, 100],
    6: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 17, 20, 21, 24, 28, 32, 33, 34, 35, 40, 42, 48, 49, 56, 64, 66, 68,
        70, 80, 84, 96, 98, 112, 128, 129, 132, 133, 136, 140, 160, 161, 168, 192, 196, 224, 256, 257, 258, 259, 264,
        266, 272, 273, 280, 320, 322, 336, 384, 385, 392, 448],
}  # fmt: skip


@pytest.mark.parametrize("bits", NUMERATORS)
def test_additive_levels(bits):
    np.testing.assert_allclose(additive_levels(bits), np.array(NUMERATORS[bits]) / NUMERATORS[bits][-1], rtol=1e-15)


@pytest.mark.parametrize(("bits", "largest"), [(7, 113 / 128), (8, 15 / 16)])
def test_additive_levels_of_more_bits_are_distinct(bits, largest):
    levels = additive_levels(bits)
    assert len(np.unique(levels)) == 2**bits
    sums = np.rint(levels * largest * 2.0**12)  # in units of the smallest term
    np.testing.assert_allclose(levels * largest, sums * 2.0**-12, rtol=1e-12)
    assert sums[-1] == largest * 2**12


def test_power_levels():
    assert power_levels(2).tolist() == [0, 0.25, 0.5, 1]
    assert power_levels(3).tolist() == [0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert power_levels(4)[1] == 2.0**-14


@pytest.mark.parametrize(
    ("kind", "bits", "alpha", "want"),
    [
        ("apot", 5, 3, [-1.5, -0.75, -0.25, 0, 0.125, 0.375, 0.75, 1.5]),
        ("pot", 5, 3, [-1.5, -0.75, -0.375, 0.0234375, 0.09375, 0.375, 0.75, 1.5]),
        ("apot", 3, 3, [-1.5, -0.75, 0, 0, 0, 0, 0.75, 1.5]),
        ("pot", 3, 3, [-1.5, -0.75, 0, 0, 0, 0, 0.75, 1.5]),
        ("apot", 2, 3, [-3, 0, 0, 0, 0, 0, 0, 3]),
        ("apot", 2, 1.5, [-1.5, -1.5, 0, 0, 0, 0, 1.5, 1.5]),
    ],
)
def test_weights_on_powers_of_two(kind, bits, alpha, want):
    """The published weights stay normalized; ours are brought back."""
    recipe = Recipe.of(weights=kind, weight_bits=bits, **PLAIN)
    got = code_weight(W.reshape(2, 4), bits, recipe, threshold=alpha).dequantized().ravel()
    normalized = (got - W.mean()) / W.std(ddof=1)
    np.testing.assert_allclose((W - W.mean()) / W.std(ddof=1), NORMALIZED, atol=1e-6)
    np.testing.assert_allclose(normalized, want, atol=1e-6)


@pytest.mark.parametrize(
    ("bits", "want"),
    [
        (2, [0, 0, 0, 0, 1.5, 1.5, 3, 3, 3, 6, 6, 6]),
        (3, [0, 0, 0, 0.6, 1.2, 1.8, 2.4, 2.4, 3.6, 6, 6, 6]),
        (4, [0, 0, 0.25, 0.5, 1, 1.5, 2.25, 3, 4.125, 6, 6, 6]),
        (5, [0, 0, 0.18, 0.48, 1.02, 1.68, 2.28, 2.88, 4.14, 5.76, 6, 6]),
    ],
)
def test_activations_on_powers_of_two(bits, want):
    """3 is a tie twice: at 3 bits of 2.4 and 3.6, at 5 of 2.88 and 3.12. Published 2.4 and 3.12; ours, the lower."""
    grid = AdditivePowersOfTwo(6.0).fit_activation(seen_of(A, half=True), bits, None)
    np.testing.assert_allclose(codebook.fake_quantize(A, grid, 0), want, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "alpha", "first", "last", "want"),
    [
        (NORMALIZED, 3, -15, 15, [-1.8, -0.8, -0.2, 0, 0.2, 0.4, 0.8, 1.6]),
        (NORMALIZED, 3, -3, 3, [-2, -1, 0, 0, 0, 0, 1, 2]),
        (A, 6, 0, 3, [0, 0, 0, 0, 0, 2, 2, 4, 4, 6, 6, 6]),
        (A, 6, 0, 15, [0, 0, 0, 0.4, 0.8, 1.6, 2.4, 3.2, 4, 5.6, 6, 6]),
        ([-1.3, -0.4, 0.1, 0.7], 0.7, -1e9, 127, [-1.300787, -0.402362, 0.099213, 0.7]),
    ],
)
def test_its_uniform_grids(x, alpha, first, last, want):
    """The last one is that of the first and the last layer, whose negative side is not clipped."""
    grid = mid_tread.MidTreadParams(*(np.float32([value]) for value in (alpha / last, first, last)))
    np.testing.assert_allclose(mid_tread.fake_quantize(np.float32(x), grid, 0), want, atol=1e-6)


def test_the_search_finds_the_threshold_of_smallest_error():
    x = np.random.default_rng(0).laplace(0, 1, 40_000)
    seen = seen_of(x)
    for bits in (3, 4, 6):
        grid = fit_activation(seen, bits, Recipe.of("apot"))
        error = ((codebook.fake_quantize(np.float32(x), grid, 0) - x) ** 2).mean()
        for factor in (0.8, 0.95, 1.05, 1.25):
            other = codebook.CodebookParams(grid.scale * np.float32(factor), grid.levels)
            assert error <= ((codebook.fake_quantize(np.float32(x), other, 0) - x) ** 2).mean() * 1.003
        expected = grid.expected_squared_error(seen.own.histogram, seen.anchor)
        np.testing.assert_allclose(expected, error, rtol=0.02)


# ---- fixed point


@pytest.mark.parametrize(
    ("value", "bits"),
    [(0.1, -3), (0.25, -1), (0.3, -1), (0.49999, -1), (0.5, 0), (0.999, 0), (1, 1), (2, 2), (3.9, 2), (4, 3), (100, 7),
     (0, -39)],
)  # fmt: skip
def test_published_integer_bits(value, bits):
    assert published_integer_bits(np.array([value])) == bits


def test_exact_powers_of_two_take_one_bit_more_only_as_published():
    powers = np.arange(-6, 11)
    assert (published_integer_bits(2.0**powers) == powers + 1).all()
    assert (integer_bits(2.0**powers) == powers).all()
    assert published_integer_bits(np.array([2.0**11])) == 11


@pytest.mark.parametrize(("rate", "bits"), [(0, 4), (0.01, 4), (0.2, 4), (0.21, 3), (0.5, 3), (0.6, 3), (0.61, 2)])
def test_overflow_rate(rate, bits):
    """Of weights, exactly; of activations from a histogram, away from the steps."""
    x = np.arange(1, 101) / 10
    recipe = Recipe.of("fixed-point", overflow_rate=rate, published=True, **PLAIN)
    coded = code_weight(np.float32(x).reshape(2, 50), 8, recipe, allocate=False)
    assert coded.params.scale == 2.0 ** (bits - 7)
    if rate not in (0.2, 0.6, 0.61):
        assert fit_activation(seen_of(x), 8, recipe).fraction_bits == 7 - bits


X = np.float32([-1, -0.75, -0.503, -0.5, -0.0625, 0, 0.03125, 0.09375, 0.15625, 0.3, 0.49, 0.74, 0.99])


@pytest.mark.parametrize(
    ("total_bits", "integers", "codes"),
    [
        (4, 1, [-4, -3, -2, -2, 0, 0, 0, 0, 1, 1, 2, 3, 4]),
        (4, 0, [-8, -6, -4, -4, 0, 0, 0, 1, 1, 2, 4, 6, 7]),
        (8, 1, [-64, -48, -32, -32, -4, 0, 2, 6, 10, 19, 31, 47, 63]),
    ],
)
def test_fixed_point_codes(total_bits, integers, codes):
    grid = FixedPointParams(np.int32([total_bits - 1 - integers]), total_bits)
    assert fixed_point.codes_of(X, grid, 0).tolist() == codes
    if integers == 1:  # what the published rule finds for a reach of 1
        assert fixed_point.params_from_reach(np.array([1.0]), total_bits, bits_for=published_integer_bits) == grid


def test_roundings():
    x = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 3.5])
    for rounding, codes in (("half_even", [0, 2, 2, 0, -2, 4]), ("half_up", [1, 2, 3, 0, -1, 4])):
        assert fixed_point.codes_of(x, FixedPointParams(np.int32([0]), 8, rounding), 0).tolist() == codes


# ---- narrow symmetric ranges


VALUES = np.float32([-3, -1, -0.4, -0.2, -0.1, 0, 0.1, 0.25, 0.33, 0.5, 0.9, 2])


@pytest.mark.parametrize(
    ("bits", "want"),
    [
        (8, [-1, -1, -0.401575, -0.196850, -0.102362, 0, 0.102362, 0.251969, 0.330709, 0.503937, 0.897638, 1]),
        (4, [-1, -1, -0.428571, -0.142857, -0.142857, 0, 0.142857, 0.285714, 0.285714, 0.428571, 0.857143, 1]),
    ],
)
def test_symmetric_activations(bits, want):
    grid = fit_activation(seen_of([-1, 0.6]), bits, Recipe.of("minmax", symmetric=True))
    np.testing.assert_allclose(mid_tread.fake_quantize(VALUES, grid, 0), want, atol=1e-6)


def test_symmetric_weights_of_rows():
    rows = np.float32([[0.1, -0.5, 0.3], [2, -1, 0.4]])
    coded = code_weight(rows, 4, Recipe.of("minmax", symmetric=True, weight_correction="none"), allocate=False)
    want = [[0.0714286, -0.5, 0.2857143], [2, -0.8571429, 0.2857143]]
    np.testing.assert_allclose(coded.dequantized(), want, atol=1e-6)
    np.testing.assert_allclose(coded.params.scale, [0.0714286, 0.2857143], atol=1e-6)


ONE_LAYER = """<ir_version: 10, opset_import: ["" : 21]>
one (float[N, C, 1, W] x) => (float[N, 1, 1, W] y) <float[1, 1, 1, 1] w = {1}> { y = Conv(x, w) }"""


@pytest.mark.parametrize(
    ("batches", "want"),
    [
        ([np.arange(1, 100_001) / 1000], 99.99),
        ([np.arange(1, 100_001) / 1000, np.arange(1, 100_001) / 500], 109.989),
        ([-np.arange(1, 101)], 99),
        ([[3]], 3),  # int(0.9999 * 1) is 0: published an error
    ],
)
def test_moving_percentiles_are_exact_order_statistics(batches, want):
    images = [np.float32(batch).reshape(1, 1, 1, -1) for batch in batches]
    statistics = calibrate(onnx.parser.parse_model(ONE_LAYER), images, moving_percentile=99.99)
    np.testing.assert_allclose(statistics.moving["x"], [want, want], rtol=1e-6)  # of the channel, and of the whole


@pytest.mark.parametrize("distribution", ["laplace", "normal"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("mean", [0, 0.5, -0.5, 1.3])
def test_mid_tread_has_no_more_error_than_the_published_one(distribution, half, mean):
    random = np.random.default_rng(0)
    values = getattr(random, distribution)(mean, 1, (8, 16, 30, 30)) * np.exp(random.normal(size=(1, 16, 1, 1)))
    x = np.float32(values)
    before = TensorStatistics.of(observe(x))
    seen = Observed(before.clamped(np.inf), before, True) if half else Observed(before, None, False)
    x = np.maximum(x, 0) if half else x
    for bits in (2, 2.5, 3, 4, 5.3):
        ours, theirs = (
            FORMATS.parse(name).fit_activation(seen, bits, None) for name in ("mid-tread", "published-mid-tread")
        )
        errors = [np.square(params.fake_quantize(x, 1) - x, dtype=np.float64).sum() for params in (ours, theirs)]
        assert errors[0] < errors[1]


def test_the_histogram_search_beats_the_published_one():
    """On the same draw; the published search trims one side only (and its result was never used)."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x = torch.randn(20_000).numpy()
    seen = seen_of(x)
    for bits, upper in ((8, 3.92831), (4, 2.75726), (3, 2.32430), (2, 2.03566)):
        ours = fit_activation(seen, bits, Recipe.of("histogram"))
        step = (upper + 4.34328) / (2**bits - 1)  # their range is not symmetric, and has a level more
        theirs = mid_tread.MidTreadParams(*(np.float32([value]) for value in (step, -4.34328 / step, upper / step)))
        error, other = (((mid_tread.fake_quantize(x, grid, 0) - x) ** 2).mean() for grid in (ours, theirs))
        assert error <= other * (1.01 if bits == 8 else 1), bits


# ---- the fixed-point system's parent

V = np.float32([-1, -0.75, -0.503, -0.5, -0.0625, 0, 0.03125, 0.09375, 0.15625, 0.3, 0.49, 0.74, 0.99])


def levels_of_weights(name, bits):
    params = FORMATS.parse(name).fit_weight(V[None], bits)
    return params.dequantize(params.codes(V[None]))[0]


def test_tanh_quantization():
    got = levels_of_weights("tanh", 4)
    np.testing.assert_allclose(got[:6], [-0.935901, -0.693147, -0.505800, -0.505800, -0.066766, 0.066766], atol=1e-6)
    n = 15
    want = np.arctanh(np.floor((np.tanh(V.astype(np.float64)) + 1) / 2 * n + 0.5) / n * 2 - 1)
    np.testing.assert_allclose(got, want, atol=1e-6)
    ends = FORMATS.parse("tanh").fit_weight(np.float32([[-9, 9]]), 3)
    assert np.isfinite(ends.dequantize(ends.codes(np.float32([[-9, 9]])))).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_minmax_and_log_quantization(bits):
    def even(x, n):
        return np.floor((x - x.min()) / (x.max() - x.min()) * n + 0.5) / n * (x.max() - x.min()) + x.min()

    v = V.astype(np.float64)
    np.testing.assert_allclose(levels_of_weights("even-minmax", bits), even(v, 2**bits - 1), atol=1e-6)
    logs = np.log(np.abs(v) + 1e-20)
    want = np.sign(v) * np.exp(even(logs, 2 ** (bits - 1) - 1))
    np.testing.assert_allclose(levels_of_weights("log", bits), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["even-minmax", "log", "tanh"])
def test_files_hold_transformed_levels(name, random):
    model = small_network()
    result = onnxq.quantize(
        model, None, Recipe.of(weights=name, weight_bits=4, act_bits=None, weight_correction="none")
    )
    x = random.normal(size=(2, 3, 8, 8)).astype(np.float32)
    replaced = onnx.ModelProto()
    replaced.CopyFrom(model)
    for tensor in replaced.graph.initializer:
        if tensor.name in result.plan.weights:
            values = result.plan.weights[tensor.name].dequantized()
            if values.shape == tuple(tensor.dims):
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    got, want = (run(each, {"input": x}, native=False)[0] for each in (result.model, replaced))
    np.testing.assert_allclose(got, want, atol=1e-5)
