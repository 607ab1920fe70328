"""The search over bits: on curves that are known, and with chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.search.candidates import Candidate
from onnxq.search.next_bits import CLOSE, LEAST, MOST, chosen, enough_bits, is_probable, next_bits


def searched(lost, most):
    """Until the search ends; ``lost`` says what so many bits lose, and its error."""
    tried: list[Candidate] = []
    while (bits := next_bits(tried, most)) is not None:
        assert LEAST <= bits <= MOST and bits not in [each.bits for each in tried]
        tried.append(Candidate(bits, int(1000 * bits), *lost(bits)))
    return tried


@given(st.floats(0.01, 100), st.floats(0.05, 5))
def test_a_loss_that_halves(scale, most):
    """And is known well: a few files, and the one that is chosen is close to the smallest."""
    tried = searched(lambda bits: (scale * 2 ** (4 - bits), 0.0), most)
    assert len(tried) <= 5
    found = chosen(tried, most)
    where = 4 + np.log2(scale / most)  # where exactly ``most`` is lost
    if where > MOST:
        assert found is None and tried[-1].bits == MOST
    else:
        assert found.lost <= most and found.bits <= max(where, LEAST) + 3 * CLOSE


@given(st.floats(0.01, 100), st.floats(0.0, 6), st.floats(0.05, 5))
def test_other_curves(scale, rate, most):
    """However quickly a loss shrinks, or if it does not: what is chosen loses little enough, or nothing that can be."""
    tried = searched(lambda bits: (scale * 2 ** (-rate * (bits - 4)), 0.0), most)
    assert len(tried) <= 9
    found = chosen(tried, most)
    if found is None:
        assert tried[-1].bits == MOST and all(each.lost > most for each in tried)
    else:
        assert found.lost <= most


@given(st.floats(0.1, 3), st.integers(0, 10_000))
def test_with_chance(most, seed):
    """It ends, and what is chosen is probable if anything is."""
    random = np.random.default_rng(seed)
    tried = searched(lambda bits: (8 * 2.0 ** (4 - bits) + random.normal(0, 0.5), 0.5), most)
    assert len(tried) <= 10
    found = chosen(tried, most)
    assert (found is None) == all(each.lost > most for each in tried)
    if any(is_probable(tried, each, most) for each in tried):
        assert is_probable(tried, found, most)


def test_files_on_other_images_lose_as_much():
    """One that loses 2 points at 5 bits, judged on 500 images and allowed 1: how often it loses more than 1.25."""
    random = np.random.default_rng(0)
    true, worse = [], 0
    for _ in range(500):
        tried = searched(lambda bits: (2 ** (6 - bits) + random.normal(0, 1), 1.0), 1.0)
        found = chosen(tried, 1.0)
        if found is None:  # by ill luck even of 8 bits
            continue
        true.append(2 ** (6 - found.bits))
        worse += is_probable(tried, found, 1.0) and true[-1] > 1.25
    assert worse / 500 < 0.05 and np.mean(true) < 0.8


def test_luck_is_not_enough():
    """A file that gains something by chance is judged by the error of that."""
    lucky = Candidate(4.0, 1, lost=-2.0, error=1.4)
    assert enough_bits([lucky], 1.0) == pytest.approx(4 + np.log2(1.645 * 1.4))
    assert not is_probable([lucky], lucky, 2.25) and is_probable([lucky], lucky, 2.31)
    sure = Candidate(6.5, 2, lost=0.2, error=0.5)
    assert chosen([lucky, sure], 1.0) is sure and is_probable([lucky, sure], sure, 1.0)


def test_a_file_s_own_loss_counts():
    """However little the others lose."""
    tried = [Candidate(4.0, 1, 0.1, 0.1), Candidate(5.0, 2, 1.2, 0.2)]
    assert chosen(tried, 1.0) is tried[0] and not is_probable(tried, tried[1], 1.0)


def test_where_nothing_is_sure_the_widest_that_may():
    tried = [Candidate(4.0, 1, 0.5, 20.0), Candidate(8.0, 2, 0.4, 8.0), Candidate(6.0, 2, 1.4, 8.0)]
    assert chosen(tried, 1.0) is tried[1] and not is_probable(tried, tried[1], 1.0)
    assert chosen(tried[2:], 1.0) is None


@pytest.mark.parametrize("rate", [1.2, 2, 3.2])
@pytest.mark.parametrize("scale", [0.5, 3, 9, 20])
def test_a_loss_that_shrinks_faster(scale, rate):
    """And is known well: the file is not much wider than need be."""
    tried = searched(lambda bits: (scale * 2 ** (-rate * (bits - 4)), 0.01), 1.0)
    assert len(tried) <= 8
    assert chosen(tried, 1.0).bits <= max(4 + np.log2(scale) / rate, LEAST) + 1.0


def test_a_file_that_is_good_for_nothing():
    """Does not count among the others, and is not taken."""
    tried = searched(lambda bits: (np.inf, 0.0) if bits < 5 else (0.1, 0.01), 1.0)
    assert chosen(tried, 1.0).bits >= 5 and len(tried) <= 8


def test_nothing_may_be_lost_and_nothing_is():
    assert chosen(searched(lambda bits: (0.0, 0.0), 0.0), 0.0).bits < 4


def test_nothing_may_be_lost():
    tried = searched(lambda bits: (max(7 - bits, 0.0), 0.0), 0.0)
    assert len(tried) <= 8 and chosen(tried, 0.0).bits >= 7
