"""The knapsack of several choices, against all assignments."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.allocation.across_layers import STEPS, cheapest

CHOICES = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 40)), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(CHOICES, min_size=1, max_size=4), st.integers(0, 120))
def test_it_is_the_best_of_all_assignments(layers, capacity):
    effects = [np.array([effect for effect, _ in choices]) for choices in layers]
    sizes = [np.array([size for _, size in choices]) for choices in layers]
    found = cheapest(effects, sizes, capacity)
    every = [
        sum(effects[layer][choice] for layer, choice in enumerate(assignment))
        for assignment in product(*(range(len(choices)) for choices in layers))
        if sum(int(sizes[layer][choice]) for layer, choice in enumerate(assignment)) <= capacity
    ]
    if not every:
        assert found is None
        return
    assert found is not None
    assert sum(int(sizes[layer][choice]) for layer, choice in enumerate(found)) <= capacity
    np.testing.assert_allclose(sum(effects[layer][choice] for layer, choice in enumerate(found)), min(every))


def test_large_capacities_are_met_closely_and_never_exceeded(random):
    sizes = [np.arange(2, 9) * int(size) for size in random.integers(10_000, 10_000_000, 60)]
    effects = [4.0 ** -np.arange(2, 9) * weight for weight in random.random(60)]
    capacity = sum(int(each[2]) for each in sizes)
    found = cheapest(effects, sizes, capacity)
    assert found is not None
    used = sum(int(size[choice]) for size, choice in zip(sizes, found, strict=True))
    assert capacity * (1 - 60 / STEPS - 0.005) < used <= capacity
    assert cheapest(effects, sizes, -1) is None and cheapest(effects, sizes, 5) is None
