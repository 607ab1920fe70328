"""The operator DynamicRange against the static ranges of the same values."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import FLOAT, INT32, INT64, operator_model, run, run_reference
from onnx import TensorProto

from onnxq.operators import dynamic_range

BOOL = TensorProto.BOOL
INPUTS = {
    "x": (FLOAT, 4), "axes": (INT64, 1), "bits": (INT32, 4), "b_multiplier": (FLOAT, 4), "std_multiplier": (FLOAT, 4),
    "half": (BOOL, 0), "rectified": (BOOL, 0), "limit": (FLOAT, 0),
}  # fmt: skip
MODEL = operator_model(dynamic_range.function(21), INPUTS, {"scale": (FLOAT, 4), "zero_point": (FLOAT, 4)})
X = np.random.default_rng(0).laplace(0.3, 1, (4, 3, 9, 9)).astype(np.float32) * np.float32([1, 5, 0.1])[:, None, None]


def ranges(x, bits, b=0.0, std=0.0, half=False, rectified=False, limit=np.inf):
    """(lower, upper) of each channel, by the function body; ONNX's evaluator agrees."""
    shape = (1, -1, 1, 1)
    feeds = {
        "x": x,
        "axes": np.int64([0, 2, 3]),
        "bits": np.int32(bits).reshape(shape),
        "b_multiplier": np.float32([b] * 3).reshape(shape),
        "std_multiplier": np.float32([std] * 3).reshape(shape),
        "half": np.array(half),
        "rectified": np.array(rectified),
        "limit": np.array(limit, np.float32),
    }
    got = run(MODEL, feeds, native=False)
    for one, other in zip(got, run_reference(MODEL, feeds), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    scale, zero_point = (array.astype(np.float64).ravel() for array in got)
    return -zero_point * scale, (2.0 ** np.array(bits) - 1 - zero_point) * scale, scale


@pytest.mark.parametrize("bits", [[4, 4, 4], [2, 5, 8]])
def test_full_range_is_twice_alpha_wide(bits):
    lower, upper, scale = ranges(X, bits, b=2.5)
    channels = X.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    mean = channels.mean(axis=1)
    alpha = 2.5 * np.abs(channels - mean[:, None]).mean(axis=1)
    start = np.maximum(channels.min(axis=1), mean - alpha)
    assert (np.abs(lower - start) <= 0.51 * scale).all()
    np.testing.assert_allclose(upper - lower, np.minimum(start + 2 * alpha, channels.max(axis=1)) - start, rtol=1e-4)


def test_half_range_by_sigma_and_its_limit():
    channels = X.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    want = np.maximum(channels.mean(axis=1), 0) + 1.5 * channels.std(axis=1, ddof=1)
    lower, upper, _ = ranges(X, [3, 4, 5], std=1.5, half=True)
    np.testing.assert_allclose(lower, 0)
    np.testing.assert_allclose(upper, np.minimum(want, channels.max(axis=1)), rtol=1e-4)
    limited = ranges(X, [3, 4, 5], std=1.5, half=True, limit=1.0)[1]
    np.testing.assert_allclose(limited, np.minimum(upper, 1), rtol=1e-4)


def test_rectified_takes_the_half_of_a_density_around_zero():
    x = np.maximum(X, 0)
    positive = x.sum(axis=(0, 2, 3), dtype=np.float64) / (x > 0).sum(axis=(0, 2, 3))
    for multiplier, spread in (({"b": 3.0}, 3 * positive), ({"std": 3.0}, 3 * positive * np.sqrt(np.pi / 2))):
        _, upper, _ = ranges(x, [4, 4, 4], half=True, rectified=True, **multiplier)
        np.testing.assert_allclose(upper, np.minimum(spread, x.max(axis=(0, 2, 3))), rtol=1e-4)


def test_without_bits_there_is_the_mean():
    """zero_point * -scale, as FakeQuantize maps a channel of no bits."""
    lower, _, _ = ranges(X, [0, 0, 0], b=3.0)
    np.testing.assert_allclose(lower, X.mean(axis=(0, 2, 3)), rtol=1e-4)
    lower, _, _ = ranges(X, [0, 0, 0], b=3.0, half=True, limit=0.7)
    np.testing.assert_allclose(lower, np.clip(X, 0, 0.7).mean(axis=(0, 2, 3)), rtol=1e-4)


def test_constant_tensors():
    x = np.zeros((2, 3, 2, 2), np.float32) + np.float32([0, 3, -2])[:, None, None]
    lower, _, _ = ranges(x, [4, 4, 4], b=3.0)
    np.testing.assert_allclose(lower, [0, 3, -2])
