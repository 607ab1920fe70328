"""Bits of channels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.allocation.by_error import allocate_by_error
from onnxq.allocation.by_spread import allocate_by_spread
from onnxq.core.observation import observe
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.formats.affine import affine_params, fake_quantize
from onnxq.formats.mid_tread import allocate_bins

SPREADS = st.lists(st.floats(0, 1e6, allow_nan=False, width=32), min_size=1, max_size=40)


@given(SPREADS, st.floats(0, 8))
def test_the_closed_form_spends_the_budget(spread, bits):
    widths = allocate_by_spread(np.array(spread), bits)
    assert widths.sum() == int(np.floor(len(spread) * bits + 1e-9))
    assert ((widths >= 0) & (widths <= 8)).all()
    order = np.argsort(spread)
    assert (np.diff(widths[order]) >= -1).all(), "wider channels get more, within the rounding of one bit"


def test_the_closed_form_is_the_papers_where_nothing_is_rounded():
    assert allocate_by_spread(8.0 ** np.arange(4), 4).tolist() == [1, 3, 5, 7]  # 2^bits ~ spread^(2/3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 8))
def test_greedy_spends_the_budget(seed, channels, bits):
    error = np.random.default_rng(seed).exponential(size=(channels, 9))
    assert allocate_by_error(error, bits).sum() == int(np.floor(channels * bits + 1e-9))


def test_greedy_is_optimal():
    """Against all allocations of three channels, where error falls convexly."""
    random = np.random.default_rng(0)
    for _ in range(20):
        error = random.exponential(size=(3, 1)) * 4.0 ** -(np.arange(9) * random.uniform(0.5, 1.2, (3, 1)))
        bits = int(random.integers(1, 7))
        best = min(
            (sum(error[c, w] for c, w in enumerate(widths)), widths)
            for widths in product(range(9), repeat=3)
            if sum(widths) == 3 * bits
        )
        got = allocate_by_error(error, bits)
        assert sum(error[c, w] for c, w in enumerate(got)) == pytest.approx(best[0])


def test_a_useless_first_bit_does_not_stop_the_second():
    error = np.array([[4, 4, 0, 0, 0, 0, 0, 0, 0], [1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]], np.float64)
    assert allocate_by_error(error, 1).tolist() == [2, 0]


@given(SPREADS, st.floats(0, 8))
def test_bins_spend_the_budget(spread, bits):
    bins = allocate_bins(np.array(spread), bits)
    assert bins.sum() == np.floor(len(spread) * 2**bits + 1e-9)
    assert (bins == np.rint(bins)).all()


@pytest.mark.parametrize("bits", [0, 1, 2, 4, 6, 8])
@pytest.mark.parametrize("half", [False, True])
def test_expected_error_and_value_are_those_of_the_values(bits, half):
    """From 256 bins, within a few percent of what 200,000 values give."""
    x = np.random.default_rng(0).laplace(0.3, [[[1.0], [5.0]]], (1, 2, 200_000)).astype(np.float32)
    x = np.maximum(x, 0) if half else x
    seen = TensorStatistics.of(observe(x))
    lower = np.zeros(2) if half else np.array([-3.0, -9])
    grid = affine_params(lower, np.array([4.0, 30]), np.int32([bits, bits]))
    quantized = fake_quantize(x, grid, axis=1)
    anchor = seen.anchor.astype(np.float64)
    error = ((quantized.astype(np.float64) - x) ** 2).mean(axis=(0, 2))
    np.testing.assert_allclose(grid.expected_squared_error(seen.histogram, anchor), error, rtol=0.03)
    value = quantized.mean(axis=(0, 2), dtype=np.float64)
    np.testing.assert_allclose(grid.expected_value(seen.histogram, anchor), value, rtol=0.01, atol=0.01)
