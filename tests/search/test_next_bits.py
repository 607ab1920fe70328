"""The search over bits: on curves that are known, and with chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.search.candidates import Candidate
from onnxq.search.next_bits import CLOSE, LEAST, MOST, chosen, next_bits


def searched(lost, most):
    """Until the search ends; ``lost`` says what so many bits lose, and its error."""
    tried: list[Candidate] = []
    while (bits := next_bits(tried, most)) is not None:
        assert LEAST <= bits <= MOST and bits not in [each.bits for each in tried]
        tried.append(Candidate(bits, int(1000 * bits), *lost(bits)))
    return tried


@given(st.floats(0.01, 100), st.floats(0.1, 6), st.floats(0.05, 5))
def test_a_smooth_curve(scale, rate, most):
    """Losses that shrink with bits, each at its own speed: the file that is chosen is close to the smallest."""
    tried = searched(lambda bits: (scale * 2 ** (-rate * (bits - 4)), 0.0), most)
    assert len(tried) <= 8
    found = chosen(tried, most)
    where = 4 + np.log2(scale / most) / rate  # where exactly ``most`` is lost
    if where > MOST:
        assert found is None and tried[-1].bits == MOST
    else:
        assert found.lost <= most and found.bits >= where - 0.01
        if 0.9 <= rate <= 1.1:
            assert found.bits <= max(where + 2 * CLOSE, LEAST + 2 * CLOSE)


@given(st.floats(0.1, 3), st.integers(0, 10_000))
def test_with_chance(most, seed):
    """It ends, and what is chosen passes as well as anything that was tried."""
    random = np.random.default_rng(seed)
    tried = searched(lambda bits: (8 * 2.0 ** (-bits / 2) + random.normal(), 0.5), most)
    assert len(tried) <= 10
    found = chosen(tried, most)
    assert (found is None) == all(each.lost > most for each in tried)
    if any(each.likely <= most for each in tried):
        assert found.likely <= most


def test_luck_is_not_enough():
    """A file that gains something by chance is judged by the error of that."""
    lucky = Candidate(4.0, 1, lost=-2.0, error=1.2)
    assert lucky.likely == 1.2
    assert next_bits([lucky], 1.0) == pytest.approx(4.3)
    sure = Candidate(6.0, 2, lost=0.2, error=0.5)
    assert chosen([lucky, sure], 1.0) is sure


def test_where_nothing_is_sure_the_widest_that_may():
    tried = [Candidate(4.0, 1, 0.5, 1.0), Candidate(8.0, 2, 0.4, 0.8), Candidate(6.0, 2, 1.4, 0.8)]
    assert chosen(tried, 1.0) is tried[1]
    assert chosen(tried[2:], 1.0) is None


def test_nothing_may_be_lost():
    tried = searched(lambda bits: (max(7 - bits, 0.0), 0.0), 0.0)
    assert len(tried) <= 8 and chosen(tried, 0.0).bits >= 7
