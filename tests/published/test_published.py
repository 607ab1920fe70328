"""Every vector of the published ACIQ system, in the mode that follows its arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import code_weight, fit_activation

from onnxq.allocation.published import allocate
from onnxq.clipping import published
from onnxq.clipping.entropy import best_threshold
from onnxq.core.aciq import gauss_multiplier, laplace_multiplier
from onnxq.core.observation import observe
from onnxq.core.observed import Observed
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.evaluation.entropy import shannon_entropy
from onnxq.formats import mid_tread
from onnxq.formats.affine import fake_quantize
from onnxq.formats.published_mid_tread import mid_tread_bins, mid_tread_multiplier
from onnxq.recipe import Recipe

W = np.float32([[-0.8, -0.31, 0.05, 0.12, 0.33, 0.9], [0.10, 0.12, 0.17, 0.20, 0.26, 0.31], [-2, -1, 0, 0.5, 1, 3]])
X = np.float32([[-1.5, -0.9, -0.4, -0.1, 0.2, 0.6, 1.1, 2.9], [-0.2, -0.1, 0, 0.1, 0.3, 0.4, 0.5, 6]])
COMPAT = {"published": True, "placement": "outputs", "bias_correction": "none", "weight_correction": "none"}


def published_recipe(scheme="aciq-laplace", **fields):
    return Recipe.of(scheme, **{**COMPAT, **fields})


class ExactStatistics(TensorStatistics):
    """b from the values themselves: the histogram's differs by 0.1 %, the vectors are given to seven digits."""

    @property
    def b(self):
        rows = X if len(self.minimum) > 1 else X.reshape(1, -1)
        return np.abs(rows - rows.mean(axis=1, dtype=np.float64, keepdims=True)).mean(axis=1)


def seen_of(half, whole=False):
    tensor = TensorStatistics.of(observe(X.reshape(1, 2, 8)))
    tensor = tensor.whole() if whole else tensor
    exact = ExactStatistics(**{field: getattr(tensor, field) for field in tensor.__dataclass_fields__})
    return Observed(tensor.clamped(np.inf) if half else exact, exact if half else None, half)


@pytest.mark.parametrize(
    ("spread", "goal", "rounding", "one_shot", "search"),
    [
        ([1, 1, 1, 1], 4, "round", [4, 4, 4, 4], [4, 4, 4, 4]),
        ([1, 2, 4, 8], 4, "round", [3, 3, 4, 5], [3, 4, 4, 5]),
        ([1, 2, 4, 8], 4, "ceil", [3, 4, 5, 5], [3, 4, 4, 5]),
        ([0.01, 0.1, 1, 10], 4, "round", [0, 1, 3, 6], [1, 3, 5, 7]),
        ([0.01, 0.1, 1, 10], 4, "ceil", [0, 2, 4, 6], [1, 3, 5, 7]),
        ([1, 2.82843], 4, "round", [3, 4], [4, 5]),
        ([0.5, 1, 1.5, 2, 3, 5, 8, 13], 4, "round", [2, 3, 3, 3, 4, 4, 5, 5], [2, 3, 3, 4, 4, 5, 5, 6]),
        ([0.5, 1, 1.5, 2, 3, 5, 8, 13], 3, "round", [1, 2, 2, 2, 3, 3, 4, 4], [1, 2, 2, 3, 3, 4, 4, 5]),
        ([0.5, 1, 1.5, 2, 3, 5, 8, 13], 5.3, "round", [3, 4, 4, 5, 5, 6, 6, 7], [4, 4, 5, 5, 5, 6, 6, 7]),
        ([0.5, 1, 1.5, 2, 3, 5, 8, 13], 5.3, "ceil", [4, 5, 5, 5, 6, 6, 7, 7], [4, 4, 5, 5, 6, 6, 6, 7]),
        ([0, 1, 1, 1], 4, "round", [0, 4, 4, 4], [0, 6, 6, 6]),
        ([1e-9, 1, 1, 1], 4, "round", [0, 4, 4, 4], [0, 6, 6, 6]),
        ([0, 1, 1, 1], 4, "ceil", [0, 5, 5, 5], [0, 5, 5, 5]),
    ],
)
def test_allocation(spread, goal, rounding, one_shot, search):
    spread = np.array(spread, np.float64)
    assert allocate(spread, goal, rounding, search=False).tolist() == one_shot
    assert allocate(spread, goal, rounding).tolist() == search


def test_tables_are_the_rounded_optima():
    for bits in range(9):
        assert published.LAPLACE[bits] == pytest.approx(laplace_multiplier(bits), abs=0.012)
        assert published.LAPLACE_HALF[bits] == pytest.approx(laplace_multiplier(bits + 1), abs=0.012)
        if bits:
            assert published.GAUSS[bits] == pytest.approx(gauss_multiplier(bits), abs=0.012)
            assert published.GAUSS_HALF[bits] == pytest.approx(gauss_multiplier(bits + 1), abs=0.02)


@pytest.mark.parametrize(
    ("fields", "allocate", "expected"),
    [
        ({"scheme": "minmax", "bit_alloc": "none"}, False,
         [[-0.793333, -0.34, 0, 0.113333, 0.34, 0.906667], [0.098, 0.126, 0.168, 0.196, 0.266, 0.308], [-2, -1, 0, 0.666667, 1, 3]]),
        ({"bit_alloc": "weights"}, True,
         [[-0.793333, -0.34, 0, 0.113333, 0.34, 0.906667], [0.07, 0.14, 0.14, 0.21, 0.28, 0.28], [-1.935484, -0.967742, 0, 0.483871, 0.967742, 3.064516]]),
        ({"bit_alloc": "none", "weight_correction": "mean"}, False,
         [[-0.782778, -0.329444, 0.010556, 0.123889, 0.350556, 0.917222], [0.097667, 0.125667, 0.167667, 0.195667, 0.265667, 0.307667],
          [-2.027778, -1.027778, -0.027778, 0.638889, 0.972222, 2.972222]]),
    ],
)  # fmt: skip
def test_weights(fields, allocate, expected):
    coded = code_weight(W, 4, published_recipe(**fields), allocate=allocate)
    np.testing.assert_allclose(coded.dequantized(), expected, atol=2e-6)


def test_variance_correction_restores_mean_and_spread():
    recipe = published_recipe(bit_alloc="none", weight_correction="mean-variance")
    got = code_weight(W, 3, recipe, allocate=False).dequantized()
    np.testing.assert_allclose(got.mean(axis=1), W.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(got.std(axis=1, ddof=1), W.std(axis=1, ddof=1), rtol=1e-5)


def test_mid_tread_weights():
    spread = W.std(axis=1, ddof=1, dtype=np.float64)
    assert mid_tread_bins(spread, 4).tolist() == [14, 4, 30]
    got = code_weight(W, 4, published_recipe("mid-tread", bit_alloc="none")).dequantized()
    expected = [
        [-0.85, -0.364286, 0, 0.121429, 0.364286, 0.85],
        [0.105, 0.105, 0.1575, 0.21, 0.2625, 0.315],
        [-2, -1, 0, 0.5, 1, 3],
    ]
    np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("scheme", "half", "whole", "expected"),
    [
        ("aciq-laplace", False, False, [[-1.303608, -0.651804, -0.651804, 0, 0, 0.651804, 1.303608, 2.607217], [0] * 6 + [0.859292, 6.015042]]),
        ("aciq-laplace", True, False, [[0] * 5 + [0.417542, 1.252625, 2.922792], [0, 0, 0, 0, 0.587917, 0.587917, 0.587917, 5.879167]]),
        ("aciq-gauss", False, False, [[-1.379224, -0.919483, -0.459741, 0, 0, 0.459741, 0.919483, 2.758449], [0] * 5 + [0.708952, 0.708952, 5.671613]]),
        ("aciq-laplace", False, True, [[-1.404208, -0.702104, -0.702104, 0, 0, 0.702104, 1.404208, 2.808417], [0] * 5 + [0.702104, 0.702104, 6.318938]]),
        ("minmax", False, False, [[-1.466667, -0.88, -0.293333, 0, 0.293333, 0.586667, 1.173333, 2.933333], [0] * 4 + [0.413333] * 3 + [6.2]]),
        ("minmax", True, False, [[0] * 4 + [0.193333, 0.58, 1.16, 2.9], [0] * 4 + [0.4] * 3 + [6]]),
        ("minmax", False, True, [[-1.5, -1, -0.5, 0, 0, 0.5, 1, 3], [0] * 4 + [0.5] * 3 + [6]]),
        ("minmax", True, True, [[0] * 4 + [0.4, 0.8, 1.2, 2.8], [0] * 4 + [0.4] * 3 + [6]]),
    ],
)  # fmt: skip
def test_activations(scheme, half, whole, expected):
    seen = seen_of(half, whole)
    bits = np.full(seen.channels, 4, np.int32)
    grid = fit_activation(seen, bits, published_recipe(scheme, bit_alloc="none"))
    x = X.reshape(1, -1) if whole else X
    got = fake_quantize(x, grid, axis=0).reshape(2, 8)
    if scheme == "minmax" and whole:  # one of the published paths rounds ties away from zero, ours to even
        tie = np.abs(np.abs(x / grid.scale % 1) - 0.5) < 1e-6
        got = np.where(tie.reshape(2, 8), np.floor(X / grid.scale + 0.5) * grid.scale, got)
    np.testing.assert_allclose(got, expected, atol=4e-5)


@pytest.mark.parametrize(
    ("half", "expected", "entropy"),
    [
        (False, [[-1.332071, -0.666036, -0.666036, 0, 0, 0.666036, 1.332071, 2.664142], [0] * 5 + [0.742592, 0.742592, 5.940732]], 2.3496017),
        (True, [[0] * 5 + [0.431773, 1.295318, 3.022409], [0] * 4 + [0.504574] * 3 + [6.054893]], 1.7169173),
    ],
)  # fmt: skip
def test_mid_tread_activations(half, expected, entropy):
    grid = fit_activation(seen_of(half), 4, published_recipe("mid-tread", bit_alloc="none"))
    got = mid_tread.fake_quantize(X, grid, axis=0)
    np.testing.assert_allclose(got, expected, atol=4e-5)
    codes = got / grid.scale[:, None]
    symbols = np.unique(codes.round(4), return_counts=True)[1]
    assert shannon_entropy(symbols) == pytest.approx(entropy, abs=1e-6)


def test_mid_tread_bins_of_a_fraction():
    spread = X.std(axis=1, ddof=1, dtype=np.float64)
    assert mid_tread_bins(spread, 4).tolist() == [14, 18]
    assert mid_tread_bins(spread, 5.3).tolist() == [34, 45]


def test_mid_tread_multipliers():
    bins = np.array([0.1, 0.5, 1, 2, 3, 4, 8, 10, 16, 32, 64, 128, 256, 400])
    signed = [0.029138, 0.469136, 1.049909, 1.858751, 2.411159, 2.828846, 3.896657, 4.255557, 5.015462, 6.203023,
              7.413126, 8.618179, 9.889920, 10.707729]  # fmt: skip
    half = [0.108251, 1.049909, 1.858751, 2.828846, 3.444787, 3.896657, 5.015462, 5.396573, 6.203023, 7.413126,
            8.618179, 9.889920, 11.161801, 11.983527]  # fmt: skip
    np.testing.assert_allclose(mid_tread_multiplier(bins), signed, atol=2e-6)
    np.testing.assert_allclose(mid_tread_multiplier(2 * bins), half, atol=2e-6)
    assert mid_tread_multiplier(np.array([0.0]))[0] == 0


@pytest.mark.parametrize(("draw", "expected"), [("laplace", 6.380352), ("normal", 3.395086)])
def test_entropy_thresholds(draw, expected):
    x = getattr(np.random.RandomState(0), draw)(size=10_000)
    reach = np.abs(x).max()
    counts, _ = np.histogram(x, bins=2001, range=(-reach, reach))
    got = best_threshold(counts[None].astype(np.float64), 15, np.array([reach]), candidates=2001)
    assert got[0] == pytest.approx(expected, abs=1e-6)


def test_shannon_entropy():
    assert shannon_entropy(np.array([4, 2, 1, 1])) == 1.75
