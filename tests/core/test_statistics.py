"""Statistics: mergeable, and in one file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.core.observation import observe
from onnxq.core.statistics import Statistics
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.errors import OnnxqError
from onnxq.formats.affine import AffineParams


def statistics_of(x, fingerprint="f" * 64):
    return Statistics(fingerprint, len(x), {"t": TensorStatistics.of(observe(x))})


def draw(seed, count, scale=1.0):
    return (
        np.random.default_rng(seed).laplace(0.2, scale, (count, 4, 9, 9)) * [[[[1]], [[10]], [[1e-3]], [[0]]]]
    ).astype(np.float32)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1.0, 30.0, 0.01]))
def test_merging_is_observing_together(seed, first, second, scale):
    a, b = draw(seed, first), draw(seed + 1, second, scale)
    merged = statistics_of(a).merge(statistics_of(b))
    whole = statistics_of(np.concatenate([a, b]))
    got, want = merged.tensors["t"], whole.tensors["t"]
    assert merged.images == whole.images
    assert got.count == want.count
    for field in ("minimum", "maximum", "histogram"):
        np.testing.assert_array_equal(getattr(got, field), getattr(want, field))
    for field in ("mean", "std", "b"):
        np.testing.assert_allclose(getattr(got, field), getattr(want, field), rtol=1e-5, atol=1e-6)


def test_numbers_are_numpys():
    x = draw(0, 8)[:, :3]
    got = statistics_of(x).tensors["t"]
    flat = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(got.mean, flat.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(got.std, flat.std(axis=1, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(got.b, np.abs(flat - flat.mean(axis=1, keepdims=True)).mean(axis=1), rtol=5e-3)
    positive = [row[row > 0].mean() for row in flat]
    np.testing.assert_allclose(got.mean_of_positive, positive, rtol=2e-2)


def test_whole_takes_the_channels_together():
    x = draw(0, 8)
    got = statistics_of(x).tensors["t"].whole()
    flat = x.astype(np.float64).ravel()
    assert got.count == flat.size
    assert got.minimum[0] == x.min()
    assert got.histogram.sum() == flat.size
    np.testing.assert_allclose(got.std[0], flat.std(ddof=1), rtol=1e-6)
    np.testing.assert_allclose(got.b[0], np.abs(flat - flat.mean()).mean(), rtol=5e-3)


@pytest.mark.parametrize("upper", [np.inf, 6.0])
def test_clamped_is_observing_behind_the_clamp(upper):
    x = draw(5, 8)
    got = statistics_of(x).tensors["t"].clamped(upper)
    want = statistics_of(np.clip(x, 0, np.float32(upper))).tensors["t"]
    np.testing.assert_array_equal(got.minimum, want.minimum)
    np.testing.assert_array_equal(got.maximum, want.maximum)
    assert (got.histogram.sum(axis=1) == got.count).all()
    for field in ("mean", "std", "b"):
        np.testing.assert_allclose(getattr(got, field), getattr(want, field), rtol=3e-2, atol=1e-3)


def test_b_with_far_outliers():
    """Bins widen with the square root: one value a thousand times the spread costs b less than 5 percent."""
    x = np.random.default_rng(0).laplace(0, 1, (1, 1, 100_000)).astype(np.float32)
    x[0, 0, 0] = 1000
    got = statistics_of(x).tensors["t"]
    assert got.b[0] == pytest.approx(np.abs(x - x.mean()).mean(), rel=0.05)


def test_other_models_do_not_merge():
    with pytest.raises(OnnxqError, match="different models"):
        statistics_of(draw(0, 1)).merge(statistics_of(draw(0, 1), fingerprint="e" * 64))


def test_file_round_trip(tmp_path):
    path = tmp_path / "s.npz"
    want = statistics_of(draw(0, 2))
    want.save(path)
    got = Statistics.load(path)
    assert (got.fingerprint, got.images) == (want.fingerprint, want.images)
    for field in ("count", "minimum", "maximum", "sum", "sum_squares", "anchor", "histogram"):
        np.testing.assert_array_equal(getattr(got.tensors["t"], field), getattr(want.tensors["t"], field))
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "other arrays"])
def test_bad_files_are_one_line_errors(tmp_path, damage):
    path = tmp_path / "s.npz"
    if damage == "truncated":
        statistics_of(draw(0, 2)).save(path)
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "other arrays":
        np.savez(path, something=np.zeros(3))
    with pytest.raises(OnnxqError, match="onnxq calibrate") as caught:
        Statistics.load(path)
    assert "\n" not in str(caught.value)


def test_values_in_the_bin_at_zero_are_told_apart_behind_a_relu():
    """-100 and up to 0.001: the zero bin of the values before is 0.0156 wide."""
    values = np.float32([[-100, -50, 0.0002, 0.0004, 0.0006, 0.001]])
    before = TensorStatistics.of(observe(values[..., None].transpose(1, 0, 2)))
    after = before.clamped(np.inf)
    assert after.anchor[0] < 0.005 and after.histogram.sum() == 6
    mean = AffineParams(np.float32([1e-6]), np.float32([0]), np.int32([16])).expected_value(
        after.histogram, after.anchor
    )
    assert mean[0] == pytest.approx(4 / 6 * 0.0005, rel=0.05)  # spread evenly up to the largest


@pytest.mark.parametrize("upper", [np.inf, 0.004])
def test_sums_of_channels_within_the_bin_at_zero(upper):
    """Up to 0.01 in a bin 0.0156 wide: what exceeds a bound in it has that value, and sums are those of the values."""
    random = np.random.default_rng(0)
    values = np.concatenate([random.uniform(-200, 0, 500), random.uniform(0, 0.01, 1500)]).astype(np.float32)
    if upper < np.inf:
        values[-300:] = random.uniform(1, 100, 300)
    before = TensorStatistics.of(observe(values[None, None]))
    after = before.clamped(upper)
    want = np.clip(values, 0, upper).astype(np.float64)
    assert after.histogram.sum() == after.count == 2000 and after.maximum[0] == np.float32(want.max())
    spread = 0.3 if upper < np.inf else 0.05  # values up to the end of the bin are taken as spread evenly
    assert after.mean[0] == pytest.approx(want.mean(), rel=spread)
    assert after.std[0] == pytest.approx(want.std(ddof=1), rel=spread)
    assert after.b[0] == pytest.approx(np.abs(want - want.mean()).mean(), rel=spread)
