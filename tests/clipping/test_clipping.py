"""Clipping against the published optima and worked vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxq.clipping.interval import clip_interval
from onnxq.clipping.percentile import percentile_interval
from onnxq.core.aciq import gauss_multiplier, laplace_multiplier
from onnxq.core.histogram import anchor_of
from onnxq.core.observation import observe
from onnxq.formats.affine import affine_params, fake_quantize

# exact optima by bits 0 .. 10, from bounded minimisation (tolerance 1e-5)
LAPLACE = [
    1.049909,
    1.862817,
    2.830683,
    3.897229,
    5.028640,
    6.204766,
    7.413126,
    8.645620,
    9.896760,
    11.162685,
    12.440591,
]
GAUSS = [0.765775, 1.239905, 1.710635, 2.151593, 2.559137, 2.936201, 3.286914, 3.615114, 3.924035, 4.216330, 4.494164]

X = np.float32([[-1.5, -0.9, -0.4, -0.1, 0.2, 0.6, 1.1, 2.9], [-0.2, -0.1, 0, 0.1, 0.3, 0.4, 0.5, 6]])
MEAN, B, STD = np.array([0.2375, 0.875]), np.array([0.971875, 1.28125]), np.array([1.3521808, 2.0851517])


@pytest.mark.parametrize("bits", range(11))
def test_multipliers_are_the_optima(bits):
    assert laplace_multiplier(bits) == pytest.approx(LAPLACE[bits], abs=1e-5)
    assert gauss_multiplier(bits) == pytest.approx(GAUSS[bits], abs=1e-5)


LAPLACE_ERROR = {0: 1.06737549, 1: 0.59964337, 3: 0.11970238, 4: 0.04602149, 5: 0.01657183, 6: 0.00567877}
LAPLACE_ERROR |= {7: 0.00187252, 8: 0.00059885, 9: 0.00018683}
GAUSS_ERROR = {0: 0.44381015, 1: 0.21501043, 3: 0.03142944, 4: 0.01049325, 5: 0.00332259, 6: 0.00101292}
GAUSS_ERROR |= {7: 0.00030022, 8: 0.00008708, 9: 0.00002483}


@pytest.mark.parametrize("bits", LAPLACE_ERROR)
def test_errors_at_the_optima(bits):
    a = laplace_multiplier(bits)
    assert 2 * np.exp(-a) + a**2 / (3 * 4**bits) == pytest.approx(LAPLACE_ERROR[bits], abs=1e-8)
    a = gauss_multiplier(bits)
    tails = (1 + a**2) * math.erfc(a / math.sqrt(2)) - math.sqrt(2 / math.pi) * a * math.exp(-(a**2) / 2)
    assert tails + a**2 / (3 * 4**bits) == pytest.approx(GAUSS_ERROR[bits], abs=1e-8)


@pytest.mark.parametrize("bits", [2, 3, 4, 5.3, 8])
def test_multipliers_minimise_the_expected_error(bits):
    """Against the error measured by brute force on a fine grid of the density."""
    x = np.linspace(0, 60, 600_001)
    for density, multiplier in [
        (np.exp(-x), laplace_multiplier(bits)),
        (np.sqrt(2 / np.pi) * np.exp(-(x**2) / 2), gauss_multiplier(bits)),
    ]:

        def error(a, density=density):
            return (np.maximum(x - a, 0) ** 2 * density).sum() * (x[1] - x[0]) + a * a / (3 * 4**bits)

        assert error(multiplier) < min(error(multiplier * 1.01), error(multiplier * 0.99))


@pytest.mark.parametrize(
    ("alpha", "half", "expected"),
    [
        # published tables: 5.03 and 6.2 (Laplace), 2.55 (Gauss), 4 bits
        (5.03 * B, False, [[-1.303608, -0.651804, -0.651804, 0, 0, 0.651804, 1.303608, 2.607217], [0] * 6 + [0.859292, 6.015042]]),
        (6.2 * B, True, [[0] * 5 + [0.417542, 1.252625, 2.922792], [0, 0, 0, 0, 0.587917, 0.587917, 0.587917, 5.879167]]),
        (2.55 * STD, False, [[-1.379224, -0.919483, -0.459741, 0, 0, 0.459741, 0.919483, 2.758449], [0] * 5 + [0.708952, 0.708952, 5.671613]]),
    ],
)  # fmt: skip
def test_published_activation_vectors(alpha, half, expected):
    lower, upper = clip_interval(alpha, MEAN, X.min(axis=1).astype(np.float64), half)
    np.testing.assert_allclose(fake_quantize(X, affine_params(lower, upper, 4), 0), expected, atol=2e-6)


def test_published_whole_tensor_vector():
    flat = X.reshape(1, -1).astype(np.float64)
    mean = flat.mean(axis=1)
    b = np.abs(flat - mean).mean(axis=1)
    lower, upper = clip_interval(5.03 * b, mean, flat.min(axis=1), half_range=False)
    expected = (
        [-1.404208, -0.702104, -0.702104, 0, 0, 0.702104, 1.404208, 2.808417] + [0] * 5 + [0.702104, 0.702104, 6.318938]
    )
    expected[12] = 0
    got = fake_quantize(X.reshape(-1), affine_params(lower, upper, 4), 0)
    np.testing.assert_allclose(got, [*expected[:8], 0, 0, 0, 0, 0, 0.702104, 0.702104, 6.318938], atol=2e-6)


def test_percentile_is_numpys_within_a_bin():
    x = np.random.default_rng(0).laplace(1, 2, (1, 2, 100_000)).astype(np.float32)
    seen = observe(x)
    anchor = anchor_of(seen.minimum, seen.maximum).astype(np.float64)
    extremes = seen.minimum.astype(np.float64), seen.maximum.astype(np.float64)
    lower, upper = percentile_interval(seen.histogram.astype(np.int64), anchor, *extremes, 99.9)
    want = np.percentile(x[0], [0.05, 99.95], axis=1)
    np.testing.assert_allclose(lower, want[0], rtol=0.02)
    np.testing.assert_allclose(upper, want[1], rtol=0.02)
    everything = percentile_interval(seen.histogram.astype(np.int64), anchor, *extremes, 100)
    np.testing.assert_array_equal(everything, extremes)


def test_percentile_of_a_constant_channel():
    seen = observe(np.full((1, 1, 9), 3, np.float32))
    bounds = percentile_interval(seen.histogram.astype(np.int64), np.array([4.0]), np.array([3.0]), np.array([3.0]), 99)
    np.testing.assert_array_equal(bounds, [[3], [3]])
