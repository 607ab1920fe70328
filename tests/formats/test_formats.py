"""The uniform grid, with the worked vectors of the published ACIQ system."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.formats.affine import affine_params, fake_quantize, quantize

# three channels of a weight, and what 4 bits over each channel's own range make of them
WEIGHT = np.float32(
    [[-0.8, -0.31, 0.05, 0.12, 0.33, 0.9], [0.10, 0.12, 0.17, 0.20, 0.26, 0.31], [-2, -1, 0, 0.5, 1, 3]]
)
FOUR_BITS = [
    [-0.793333, -0.34, 0, 0.113333, 0.34, 0.906667],
    [0.098, 0.126, 0.168, 0.196, 0.266, 0.308],
    [-2, -1, 0, 0.666667, 1, 3],
]
MIXED_BITS = [  # 4, 2 and 5
    [-0.793333, -0.34, 0, 0.113333, 0.34, 0.906667],
    [0.07, 0.14, 0.14, 0.21, 0.28, 0.28],
    [-1.935484, -0.967742, 0, 0.483871, 0.967742, 3.064516],
]


@pytest.mark.parametrize(("bits", "expected"), [(4, FOUR_BITS), (np.int32([4, 2, 5]), MIXED_BITS)])
def test_published_weight_vectors(bits, expected):
    grid = affine_params(WEIGHT.min(axis=1), WEIGHT.max(axis=1), bits)
    np.testing.assert_allclose(fake_quantize(WEIGHT, grid, 0), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.3, -7e5, 1e-20])
def test_a_range_without_width_keeps_its_value(value):
    grid = affine_params(value, value, 4)
    assert np.isfinite(grid.scale).all()
    assert (grid.scale > 0).all()
    assert fake_quantize(np.float32([value]), grid, 0) == np.float32(value)


def test_zero_bits_give_the_lower_bound():
    grid = affine_params([-3.0, 0.0], [1.0, 2.0], np.int32([0, 0]))
    np.testing.assert_array_equal(fake_quantize(np.float32([[5, 6], [7, 8]]), grid, 1), [[-3, 0], [-3, 0]])


@pytest.mark.parametrize(("lower", "upper", "bits"), [(1, 0, 4), (np.nan, 1, 4), (0, np.inf, 4), (0, 1, 9), (0, 1, -1)])
def test_bad_ranges_are_refused(lower, upper, bits):
    with pytest.raises(ValueError, match="must"):
        affine_params(lower, upper, bits)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 8), st.floats(0, 1))
def test_error_is_at_most_one_step(lower, width, bits, place):
    grid = affine_params(lower, lower + width, bits)
    x = np.float32([lower + place * width])
    step = width / (2**bits - 1)
    # half a step, or a whole one at the ends, where the rounded zero point shifts the range
    assert abs(fake_quantize(x, grid, 0)[0] - x[0]) <= 1.001 * step + 1e-6 * (abs(lower) + width)


@given(st.floats(-100, 0), st.floats(0, 100), st.integers(1, 8))
def test_zero_is_exact_where_the_range_holds_it(lower, upper, bits):
    if upper - lower < 1e-3:
        return
    grid = affine_params(lower, upper, bits)
    assert fake_quantize(np.float32([0]), grid, 0)[0] == 0


def test_codes_stay_within_their_width():
    grid = affine_params(-1, 1, 3)
    codes = quantize(np.float32([-np.inf, -5, 0, 5, np.inf]), grid, 0)
    assert codes.min() == 0
    assert codes.max() == 7
