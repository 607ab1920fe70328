"""The mathematics of rounding by output error, against brute force and hand-worked cases."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.formats.affine import Affine, AffineParams
from onnxq.formats.fixed_point import FixedPoint
from onnxq.formats.kmeans import KMeans
from onnxq.formats.mid_tread import MidTread
from onnxq.formats.powers_of_two import AdditivePowersOfTwo
from onnxq.formats.symmetric import Symmetric
from onnxq.rounding.coordinate_descent import coordinate_descent
from onnxq.rounding.error_feedback import error_feedback, feedback_factor
from onnxq.rounding.grids import grid_of, has_grid
from onnxq.rounding.moments import Moments, MomentSums, together
from onnxq.rounding.patterns import best_pattern
from onnxq.rounding.positive_definite import factorize, solve_positive
from onnxq.rounding.solve import Freedom, _refitted, output_error, round_by_output
from onnxq.rounding.target import DAMPINGS, reach_of, step_to_target

FIXED = Freedom(np.array([1.0]), refits=False)
FORMATS = {
    "affine": (Affine(), np.array([2], np.int32)),
    "symmetric": (Symmetric(), np.array([3], np.int32)),
    "apot": (AdditivePowersOfTwo(), 3),
    "fixed": (FixedPoint(), 3),
    "k-means": (KMeans(), 2),
    "mid-tread": (MidTread(), 2.0),
}


def case(seed, groups=1, rows=4, width=20, samples=400):
    """A weight, and moments of correlated inputs with noise."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((groups, rows, width))
    mix = random.standard_normal((groups, width, width))
    x = random.standard_normal((groups, samples, width)) @ mix + random.standard_normal((groups, 1, width))
    quantized = x + 0.5 * random.standard_normal(x.shape)
    sums = MomentSums(weight.astype(np.float32))
    for part in np.split(np.arange(samples), 4):
        sums.add(x[:, part].astype(np.float32), quantized[:, part].astype(np.float32))
    return weight, sums.moments(), x, quantized


def params_of(weight, form, bits):
    return form.fit_weight(weight.reshape(-1, weight.shape[2]).astype(np.float32), bits)


def rounded(weight, params, curvature, freedom):
    """Codes, and what they stand for as [g, r, d]."""
    quantized = round_by_output(
        weight, params, curvature, freedom, (weight.shape[0] * weight.shape[1], weight.shape[2])
    )
    return quantized, quantized.dequantized().reshape(weight.shape)


def error(target, values, curvature):
    away = target - values
    return np.einsum("grd,gde,gre->gr", away, curvature, away)


@pytest.mark.parametrize(("rows", "width"), [(4, 300), (300, 4)])
def test_moments_are_those_of_all_samples(rows, width):
    weight, moments, x, quantized = case(0, 2, rows, width)
    made = x @ weight.transpose(0, 2, 1)
    for group in range(2):
        for got, left in ((moments.own, quantized), (moments.cross, made)):
            want = (left[group] - left[group].mean(0)).T @ (quantized[group] - quantized[group].mean(0)) / 400
            np.testing.assert_allclose(got[group], want, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(moments.mean, quantized.mean(axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moments.mean_output, made.mean(axis=1), rtol=1e-5, atol=1e-4)
    whole = moments.about_zero()
    np.testing.assert_allclose(whole.cross[0], made[0].T @ quantized[0] / 400, rtol=1e-4, atol=1e-1)
    assert not whole.mean.any()


def test_parts_are_put_together():
    random = np.random.default_rng(0)
    x = (random.standard_normal((1, 90, 6)) + np.arange(6) * 10).astype(np.float32)
    quantized = np.round(x)
    parts = []
    for places in (slice(0, 10), slice(10, 90)):
        sums = MomentSums(np.eye(6, dtype=np.float32)[None, :4])
        sums.add(x[:, places], quantized[:, places])
        parts.append(sums.moments())
    sums = MomentSums(np.eye(6, dtype=np.float32)[None, :4])
    sums.add(x, quantized)
    got, want = together(parts), sums.moments()
    for name in ("own", "cross", "mean", "mean_output"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-5, atol=1e-5)
    assert got.count == 90


def test_a_layer_of_two_channels_worked_by_hand():
    """docs/schemes/rounding.md: G = [[1, 0.9], [0.9, 1]], w = (0.4, 0.4), levels 0 and 1: (0, 1) makes up, (0, 0) not."""
    curvature = np.array([[[1.0, 0.9], [0.9, 1.0]]])
    target = np.array([[[0.4, 0.4]]])
    params = AffineParams(np.float32([1]), np.float32([0]), np.int32([1]))
    grid = grid_of(params, 1)
    errors = {codes: error(target, np.array([[codes]], float), curvature)[0, 0] for codes in product((0, 1), repeat=2)}
    assert errors == pytest.approx({(0, 0): 0.608, (0, 1): 0.088, (1, 0): 0.088, (1, 1): 1.368})
    # column 2 first: 0.4 to 0, an error of 0.4; column 1 wishes for 0.4 + 0.9 * 0.4 = 0.76, and gets 1
    np.testing.assert_array_equal(error_feedback(target, grid, *feedback_factor(curvature)), [[[1, 0]]])
    np.testing.assert_array_equal(coordinate_descent(target, np.zeros((1, 1, 2), int), grid, curvature), [[[1, 0]]])
    codes, best = best_pattern(target, grid, curvature)
    assert best[0, 0] == pytest.approx(0.088)
    assert codes.sum() == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(FORMATS)), st.integers(1, 3), st.integers(1, 30))
def test_error_is_never_above_that_of_nearest_rounding(seed, name, groups, width):
    """At the scales that are given; what is searched and fitted besides only lowers it."""
    weight, moments, *_ = case(seed, groups, 3, width)
    form, bits = FORMATS[name]
    params = params_of(weight, form, bits)
    curvature = moments.damped(0.01)
    grid = grid_of(params, 3 * groups)
    flat = weight.reshape(-1, width)
    nearest = grid.levels(grid.nearest(flat)).reshape(weight.shape)
    from_nearest = coordinate_descent(weight, grid.nearest(flat).reshape(weight.shape), grid, curvature)
    polished = grid.levels(from_nearest.reshape(-1, width)).reshape(weight.shape)
    assert (error(weight, polished, curvature) <= error(weight, nearest, curvature) * (1 + 1e-9)).all()
    if form.holds_scale:
        tries = Freedom(np.array([1.0]), refits=True), FIXED
        errors = [error(weight, rounded(weight, params, curvature, freedom)[1], curvature) for freedom in tries]
        assert (errors[0] <= errors[1] * (1 + 1e-4) + 1e-9).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(FORMATS)))
def test_no_code_is_better_changed_alone(seed, name):
    weight, moments, *_ = case(seed, 1, 2, 14)
    params = params_of(weight, *FORMATS[name])
    curvature = moments.damped(0.01)
    grid = grid_of(params, 2)
    codes = coordinate_descent(weight, grid.nearest(weight[0])[None], grid, curvature)
    best = error(weight, grid.levels(codes[0])[None], curvature)
    every = 2 ** int(params.widths.max()) if name not in ("apot",) else params.levels.shape[1]
    for column in range(14):
        for code in range(every):
            other = codes.copy()
            other[:, :, column] = code
            assert (error(weight, grid.levels(other[0])[None], curvature) >= best * (1 - 1e-9)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(FORMATS)), st.integers(1, 6))
def test_the_best_pattern_is_that_of_brute_force(seed, name, width):
    """Depthwise layers: all patterns of rounding up and down."""
    weight, moments, *_ = case(seed, 3, 2, width)
    grid = grid_of(params_of(weight, *FORMATS[name]), 6)
    curvature = moments.damped(0.01)
    codes, errors = best_pattern(weight, grid, curvature)
    flat = weight.reshape(6, width)
    low = grid.below(flat)
    best = np.full((3, 2), np.inf)
    for ups in product((0, 1), repeat=width):
        tried = low + np.array(ups) * (grid.span(low) > 0)
        best = np.minimum(best, error(weight, grid.levels(tried).reshape(weight.shape), curvature))
    np.testing.assert_allclose(errors, best, rtol=1e-7, atol=1e-9)
    values = grid.levels(codes.reshape(6, width)).reshape(weight.shape)
    np.testing.assert_allclose(error(weight, values, curvature), best, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("width", [9, 40])
def test_without_alpha_and_with_infinite_damping_it_is_nearest_rounding(width):
    weight, moments, *_ = case(3, 1, 5, width)
    params = params_of(weight, Affine(), np.array([3], np.int32))
    quantized, _ = rounded(weight, params, moments.damped(1e9), FIXED)
    np.testing.assert_array_equal(quantized.codes, params.codes(weight[0].astype(np.float32)))


def test_error_feedback_beats_nearest_by_far_where_inputs_are_correlated():
    weight, moments, *_ = case(4, 1, 16, 64)
    params = params_of(weight, Affine(), np.array([3], np.int32))
    curvature = moments.damped(0.01)
    _, values = rounded(weight, params, curvature, FIXED)
    nearest = params.dequantize(params.codes(weight[0].astype(np.float32)))[None]
    assert error(weight, values, curvature).sum() < 0.6 * error(weight, nearest, curvature).sum()


def test_the_target_is_the_regression_of_the_float_output():
    """W* = C G^-1, in the limit of no damping."""
    weight, moments, x, quantized = case(5, 1, 3, 5)
    step = step_to_target(weight, moments, 1e-9)
    centred, wanted = (part[0] - part[0].mean(axis=0) for part in (quantized, x))
    want = np.linalg.lstsq(centred, wanted @ weight[0].T, rcond=None)[0].T
    np.testing.assert_allclose((weight + step)[0], want, rtol=1e-3, atol=1e-3)
    values = weight + step
    np.testing.assert_allclose(
        output_error(values, moments) - output_error(weight, moments),
        np.square(centred @ values[0].T - wanted @ weight[0].T).mean(axis=0).sum()
        - np.square(centred @ weight[0].T - wanted @ weight[0].T).mean(axis=0).sum(),
        rtol=1e-2,
    )


def test_how_far_to_go_is_judged_on_other_images():
    """Where parts agree, all the way; where each has noise of its own, hardly; with one part there is nobody to judge."""
    weight, moments, *_ = case(6, 1, 3, 5, samples=4000)
    assert reach_of(weight, [moments, moments]).alpha > 0.99
    few = [case(seed, 1, 3, 40, samples=44)[1] for seed in (7, 8)]
    assert reach_of(case(7, 1, 3, 40)[0], few).alpha < 0.5
    assert reach_of(weight, [moments]).alpha == 0
    assert reach_of(weight, [moments, moments], alpha=0.25).alpha == 0.25
    assert reach_of(weight, [moments, moments]).damping in DAMPINGS


@pytest.mark.parametrize(("groups", "rows", "width"), [(1, 3, 600), (2, 3, 300), (4, 1, 9), (2, 0, 5)])
def test_systems_of_positive_definite_matrices(groups, rows, width):
    random = np.random.default_rng(0)
    root = random.standard_normal((groups, width, width))
    matrix = root @ root.transpose(0, 2, 1) + np.eye(width)
    right = random.standard_normal((groups, rows, width))
    np.testing.assert_allclose(factorize(matrix.copy()), np.linalg.cholesky(matrix), atol=1e-8)
    np.testing.assert_allclose(solve_positive(matrix.copy(), right) @ matrix, right, atol=1e-8)


def test_singular_and_dead_moments_do_no_harm():
    weight = np.random.default_rng(0).standard_normal((1, 4, 20))
    nothing = np.zeros((1, 20, 20))
    constant = np.zeros((1, 20, 20))
    constant[0, 0, 0] = 3
    params = params_of(weight, Affine(), np.array([4], np.int32))
    for own in (nothing, constant, np.ones((1, 20, 20))):
        moments = Moments(10, own, weight @ own, np.zeros((1, 4)), np.zeros((1, 20)))
        assert np.isfinite(step_to_target(weight, moments, 0.01)).all()
        freedom = Freedom(np.linspace(0.4, 1, 5), offsets=True)
        _, values = rounded(weight, params, moments.damped(0.01), freedom)
        assert np.isfinite(values).all()
        assert np.abs(values - weight).max() < 1.5


def test_a_channel_of_no_bits_and_scales_for_the_tensor():
    weight, moments, *_ = case(9, 1, 3, 16)
    params = params_of(weight, Affine(), np.array([0, 4, 8], np.int32))
    quantized, _ = rounded(weight, params, moments.damped(0.01), Freedom(np.array([0.5, 1.0])))
    assert not quantized.codes[0].any()
    assert quantized.codes[1].max() <= 15
    whole = Affine().fit_weight(weight.reshape(1, -1).astype(np.float32), np.array([3], np.int32))
    freedom = Freedom(np.array([0.5, 0.8, 1.0]), shared=True, offsets=True)
    quantized, _ = rounded(weight, whole, moments.damped(0.01), freedom)
    assert quantized.params.scale.shape == quantized.params.zero_point.shape == (1,)


def test_levels_of_unknown_formats_are_an_error():
    with pytest.raises(TypeError, match="not known"):
        grid_of(object(), 3)
    assert not has_grid(object())


def test_codes_that_a_format_does_not_use_stay_unused():
    weight, moments, *_ = case(15, 1, 4, 30)
    params = params_of(weight, Symmetric(), np.array([3], np.int32))
    limits = np.full(4, 1), np.full(4, 7)
    freedom = Freedom(np.linspace(0.35, 1, 8), limits=limits)
    quantized, _ = rounded(weight, params, moments.damped(0.01), freedom)
    assert quantized.codes.min() >= 1
    assert quantized.codes.max() == 7


def test_error_feedback_is_gptq():
    """Algorithm 1 of the paper as it is written, with the inverse, column by column; over several blocks of columns."""
    weight, moments, *_ = case(10, 1, 4, 150, samples=600)
    curvature = moments.damped(0.05)
    grid = grid_of(params_of(weight, Affine(), np.array([3], np.int32)), 4)
    order = np.argsort(-np.diagonal(curvature[0]), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(curvature[0][np.ix_(order, order)])).T
    rest, want = weight[0][:, order].copy(), np.zeros((4, 150), int)
    for column in range(150):
        want[:, column] = grid.nearest(rest[:, column])
        error_ = (rest[:, column] - grid.levels(want[:, column])) / upper[column, column]
        rest[:, column:] -= error_[:, None] * upper[column, column:]
    got = error_feedback(weight, grid, *feedback_factor(curvature))[0]
    assert (got[:, order] == want).mean() > 0.995, "equal but for ties that rounding of sums decides"


def test_coordinate_descent_visits_the_columns_where_a_code_wishes_for_a_change():
    weight, moments, *_ = case(11, 1, 3, 150, samples=600)
    curvature = moments.damped(0.05)
    grid = grid_of(params_of(weight, Affine(), np.array([3], np.int32)), 3)
    start = grid.nearest(weight[0])
    want = start.copy()
    for _ in range(50):
        before = want.copy()
        pull = (weight[0] - grid.levels(want)) @ curvature[0]
        wishes = grid.nearest(grid.levels(want) + pull / np.diagonal(curvature[0]))
        for column in (wishes != want).any(axis=0).nonzero()[0]:
            pull = (weight[0] - grid.levels(want)) @ curvature[0][:, column]
            want[:, column] = grid.nearest(grid.levels(want[:, column]) + pull / curvature[0, column, column])
        if (before == want).all():
            break
    np.testing.assert_array_equal(coordinate_descent(weight, start[None], grid, curvature)[0], want)


@pytest.mark.parametrize(("groups", "rows", "width"), [(1, 300, 16), (200, 2, 14)])
def test_pieces_are_rounded_each_by_its_own_grid(groups, rows, width):
    """As one output channel after the other, but for which columns are visited: errors are as small."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((groups, rows, width)) * np.exp(random.uniform(-3, 3, (groups, rows, 1)))
    root = random.standard_normal((groups, width, width))
    curvature = root @ root.transpose(0, 2, 1) + np.eye(width)
    params = params_of(weight, Affine(), np.full(groups * rows, 3, np.int32))
    _, values = rounded(weight, params, curvature, FIXED)
    whole, alone = error(weight, values, curvature), np.empty((groups, rows))
    for group in range(groups):
        for row in range(rows):
            one = weight[group, row][None, None]
            own = params_of(one, Affine(), np.full(1, 3, np.int32))
            values = rounded(one, own, curvature[group][None], FIXED)[1]
            alone[group, row] = error(one, values, curvature[group][None])[0, 0]
    np.testing.assert_allclose(whole.sum(axis=1) / alone.sum(axis=1), 1, atol=0.5)
    np.testing.assert_allclose(np.log(whole / alone).mean(), 0, atol=0.02)


def test_repeated_levels_come_to_rest(monkeypatch):
    """A codebook of a weight of few values: several codes stand for one level."""
    weight = np.random.default_rng(0).choice([-1.0, 0.5], (1, 3, 20))
    params = params_of(weight, KMeans(), 3)
    curvature = case(4, 1, 3, 20)[1].damped(0.01)
    monkeypatch.setattr("onnxq.rounding.coordinate_descent.MOST_SWEEPS", 2)
    grid = grid_of(params, 3)
    codes = coordinate_descent(weight, grid.nearest(weight[0])[None], grid, curvature)
    np.testing.assert_allclose(grid.levels(codes[0]), weight[0], atol=1e-6)


def test_scales_are_searched_and_fitted():
    """Each lowers the error by much where one weight is far out; offsets help where levels lie off the weights."""
    weight, moments, *_ = case(12, 1, 8, 40)
    weight[:, :, 0] = 6
    curvature = moments.damped(0.01)
    params = params_of(weight, Affine(), np.array([2], np.int32))
    factors = np.linspace(0.35, 1, 14)
    searched, fitted = Freedom(factors, refits=False), Freedom(np.array([1.0]))
    moved = Freedom(np.array([1.0]), offsets=True)
    plain, by_search, by_fit, by_offset = (
        error(weight, rounded(weight, params, curvature, freedom)[1], curvature).sum()
        for freedom in (FIXED, searched, fitted, moved)
    )
    assert by_search < 0.95 * plain
    assert by_fit < 0.95 * plain
    assert by_offset < by_fit


def test_a_shared_scale_is_the_best_one_for_all_channels_together():
    weight, moments, *_ = case(13, 1, 4, 30)
    weight[:, 1:] *= 0.1  # the first channel alone decides
    whole = Affine().fit_weight(weight.reshape(1, -1).astype(np.float32), np.array([3], np.int32))
    first = Affine().fit_weight(weight[:, :1].reshape(1, -1).astype(np.float32), np.array([3], np.int32))
    assert whole.scale == first.scale
    curvature = moments.damped(0.01)
    factors = np.linspace(0.4, 1, 7)
    freedom = Freedom(factors, shared=True, refits=False)
    got, _ = rounded(weight, whole, curvature, freedom)
    diagonal = np.diagonal(curvature[0])
    totals = []
    for factor in factors:
        grid = grid_of(whole.scaled(np.full(1, factor)), 4)
        totals.append((np.square(grid.levels(grid.nearest(weight[0])) - weight[0]) * diagonal).sum())
    np.testing.assert_allclose(got.params.scale, whole.scale * factors[np.argmin(totals)], rtol=1e-6)
    fitted, values = rounded(weight, whole, curvature, Freedom(np.array([1.0]), shared=True))
    assert fitted.params.scale.size == 1
    assert (
        error(weight, values, curvature).sum()
        <= error(weight, rounded(weight, whole, curvature, FIXED)[1], curvature).sum()
    )


def test_one_fitted_scale_is_the_least_squares_of_all_rows():
    weight, moments, *_ = case(14, 1, 3, 16)
    weight[:, 0] *= 5
    curvature = moments.damped(0.01)
    whole = Affine().fit_weight(weight.reshape(1, -1).astype(np.float32), np.array([3], np.int32))
    codes = grid_of(whole, 3).nearest(weight[0])[None]
    values = grid_of(whole, 3).levels(codes[0])[None]
    got = _refitted(whole, weight, codes, curvature, Freedom(np.array([1.0]), shared=True))
    want = np.einsum("grd,gde,gre->", values, curvature, weight) / np.einsum("grd,gde,gre->", values, curvature, values)
    assert isinstance(got, AffineParams)
    np.testing.assert_allclose(got.scale / whole.scale, want, rtol=1e-5)
