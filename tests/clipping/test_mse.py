"""The search of the interval of smallest error leaves candidates out that clip too much; it finds what all of them do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxq.clipping.mse import REFINE, SHRINK, clipping_error, mse_interval
from onnxq.core.observation import observe
from onnxq.formats.affine import affine_params


def error_of(seen, lower, upper, bits):
    return affine_params(lower, upper, bits).expected_squared_error(seen.histogram, seen.anchor)


def plain_search(seen, minimum, maximum, bits):
    """All candidates of all channels."""
    fixed = np.clip(0, minimum, maximum)
    best = [minimum, maximum, error_of(seen, minimum, maximum, bits)]

    def consider(lower, upper):
        lower, upper = np.clip(lower, minimum, fixed), np.clip(upper, fixed, maximum)
        error = error_of(seen, lower, upper, bits)
        best[:] = [np.where(error < best[2], new, old) for new, old in zip((lower, upper, error), best, strict=True)]

    for factor in SHRINK[1:]:
        consider(fixed + (minimum - fixed) * factor, fixed + (maximum - fixed) * factor)
    for factor in REFINE:
        consider(fixed + (best[0] - fixed) * factor, best[1])
        consider(best[0], fixed + (best[1] - fixed) * factor)
    return best[:2]


class Seen:
    """Histograms of values [channels, count]."""

    def __init__(self, values):
        found = observe(values.T[:, :, None].astype(np.float32))
        self.histogram = found.histogram
        self.minimum, self.maximum = found.minimum.astype(np.float64), found.maximum.astype(np.float64)
        reach = np.maximum(np.abs(self.minimum), np.abs(self.maximum))
        self.anchor = np.maximum(4.0 ** np.ceil(np.log2(np.maximum(reach, 2.0**-60)) / 2), 4.0**-30)


KINDS = {
    "normal": lambda random, shape: random.normal(size=shape),
    "heavy tails": lambda random, shape: random.standard_t(2, shape),
    "rectified": lambda random, shape: np.maximum(random.normal(size=shape), 0),
    "above zero": lambda random, shape: random.uniform(1, 5, shape),
    "below zero": lambda random, shape: -(np.abs(random.laplace(size=shape)) ** 3),
    "far and near": lambda random, shape: random.normal(size=shape) * 10.0 ** random.uniform(-6, 4, (shape[0], 1)),
    "one outlier": lambda random, shape: np.where(np.arange(shape[1]) == 7, 1000.0, random.normal(size=shape)),
}


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 8), st.integers(1, 300), st.integers(0, 99))
def test_nothing_that_is_best_is_left_out(kind, bits, channels, seed):
    seen = Seen(KINDS[kind](np.random.default_rng(seed), (channels, 200)))
    widths = np.full(channels, bits, np.int32)
    want = plain_search(seen, seen.minimum, seen.maximum, widths)
    got = mse_interval(seen.histogram, seen.anchor, seen.minimum, seen.maximum, widths)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 8), st.floats(0.05, 1), st.integers(0, 99))
def test_clipping_is_a_part_of_the_error(kind, bits, factor, seed):
    seen = Seen(KINDS[kind](np.random.default_rng(seed), (5, 200)))
    fixed = np.clip(0, seen.minimum, seen.maximum)
    lower, upper = fixed + (seen.minimum - fixed) * factor, fixed + (seen.maximum - fixed) * factor
    step = (upper - lower) / (2.0**bits - 1)
    least = clipping_error(
        seen.histogram.astype(np.float64), seen.anchor, (lower - step)[:, None], (upper + step)[:, None]
    )[:, 0]
    total = error_of(seen, lower, upper, np.full(5, bits, np.int32))
    assert (least <= total * (1 + 1e-6) + seen.anchor**2 * 1e-12).all()
    if factor < 0.1 and kind == "normal":
        assert (least > 0).all()
