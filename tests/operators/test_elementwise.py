"""FakeQuantizeCodebook, -MidTread and -FixedPoint: numpy = function body = ReferenceEvaluator = kernel, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import FLOAT, FLOAT16, INT32, KERNEL_PROVIDERS, assert_same_bits, operator_model, run, run_reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operators.test_fake_quantize import VALUES

from onnxq.core.shapes import broadcastable
from onnxq.formats import codebook, fixed_point, mid_tread
from onnxq.formats.powers_of_two import additive_levels, levels_of, power_levels
from onnxq.operators import fake_quantize_codebook, fake_quantize_fixed_point, fake_quantize_mid_tread
from onnxq.runtime.library import find_library
from onnxq.runtime.sessions import make_session

SCALES = st.one_of(st.just(0.0), st.floats(2.0**-126, 2.0**100, width=32), st.sampled_from([0.25, 1.0]))
LEVELS = st.one_of(
    st.tuples(st.sampled_from([additive_levels, power_levels]), st.integers(2, 8), st.booleans()).map(
        lambda args: levels_of(*args)
    ),
    hnp.arrays(np.float32, st.integers(1, 256), elements=st.floats(-4, 4, width=32)).map(np.sort),
)


@st.composite
def tensors(draw):
    """x of rank 1 to 4, the axis of its channels, and how many parameters there are."""
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 5, 17]), min_size=rank, max_size=rank)))
    axis = draw(st.integers(0, rank - 1))
    channels = shape[axis] if draw(st.booleans()) and shape[axis] > 0 else 1
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    with np.errstate(over="ignore"):
        x = draw(hnp.arrays(np.float32, shape, elements=VALUES)).astype(dtype)
    return x, axis, channels


def check(operator, oracle, x, grid, axis, parameters, backends, **attributes):
    """All ways to compute agree with numpy; ``parameters`` are the fields of the grid that vary by channel."""
    with np.errstate(all="ignore"):
        want = oracle(x.astype(np.float32), grid, axis).astype(x.dtype)
    feeds = {"x": x, **{name: broadcastable(getattr(grid, name), x.ndim, axis) for name in parameters}}
    if operator is fake_quantize_codebook:
        feeds["levels"] = grid.levels
    kind = FLOAT if x.dtype == np.float32 else FLOAT16
    inputs = {
        name: (kind if name == "x" else INT32 if array.dtype == np.int32 else FLOAT, array.ndim)
        for name, array in feeds.items()
    }
    model = operator_model(operator.function(21), inputs, {"y": (kind, x.ndim)}, **attributes)
    if backends is None:
        assert_same_bits(run_reference(model, feeds)[0], want, "ReferenceEvaluator")
        assert_same_bits(run(model, feeds, native=False)[0], want, "function body")
        backends = [(True, provider) for provider in KERNEL_PROVIDERS]
    for native, provider in backends:
        assert_same_bits(run(model, feeds, native, provider)[0], want, f"{provider} kernel")


def check_codebook(x, grid, axis, backends=None):
    check(fake_quantize_codebook, codebook.fake_quantize, x, grid, axis, ["scale"], backends)


def check_mid_tread(x, grid, axis, backends=None):
    check(fake_quantize_mid_tread, mid_tread.fake_quantize, x, grid, axis, ["scale", "first", "last"], backends)


def check_fixed_point(x, grid, axis, backends=None):
    attributes = dict(grid.quantizer_calls(4)[0].attributes)
    operator = fake_quantize_fixed_point
    check(operator, fixed_point.fake_quantize, x, grid, axis, ["fraction_bits"], backends, **attributes)


@given(tensors(), LEVELS, st.data())
def test_codebook(tensor, levels, data):
    x, axis, channels = tensor
    check_codebook(
        x, codebook.CodebookParams(data.draw(hnp.arrays(np.float32, channels, elements=SCALES)), levels), axis
    )


@given(tensors(), st.data())
def test_mid_tread(tensor, data):
    x, axis, channels = tensor
    scale = data.draw(hnp.arrays(np.float32, channels, elements=SCALES))
    first = data.draw(hnp.arrays(np.float32, channels, elements=st.integers(-20, 0).map(float)))
    last = data.draw(hnp.arrays(np.float32, channels, elements=st.integers(0, 300).map(float)))
    check_mid_tread(x, mid_tread.MidTreadParams(scale, first, last), axis)


@given(
    tensors(),
    st.integers(2, 16),
    st.sampled_from(fixed_point.ROUNDINGS),
    st.sampled_from(fixed_point.OVERFLOWS),
    st.data(),
)
def test_fixed_point(tensor, total_bits, rounding, overflow, data):
    x, axis, channels = tensor
    fraction_bits = data.draw(
        hnp.arrays(np.int32, channels, elements=st.one_of(st.integers(-2, 8), st.integers(-100, 100)))
    )
    check_fixed_point(x, fixed_point.FixedPointParams(fraction_bits, total_bits, rounding, overflow), axis)


@pytest.mark.parametrize("shape", [(2, 5, 7, 9), (3, 64, 28, 28), (1, 3, 1, 1), (0, 4, 3, 3), (4, 6), (2, 8, 1001)])
def test_on_each_backend(backend, shape):
    random = np.random.default_rng(0)
    channels = shape[1]
    x = (random.standard_normal(shape) * 4).astype(np.float32)
    x.ravel()[::17] = np.nan
    x.ravel()[1::19] = np.inf
    scale = random.uniform(0.01, 4, channels).astype(np.float32)
    check_codebook(x, codebook.CodebookParams(scale, levels_of(additive_levels, 4, True)), 1, [backend])
    check_mid_tread(x, mid_tread.MidTreadParams(scale, np.floor(-3 * scale), np.ceil(5 * scale)), 1, [backend])
    fraction_bits = random.integers(-3, 7, channels).astype(np.int32)
    for rounding in fixed_point.ROUNDINGS:
        for overflow in fixed_point.OVERFLOWS:
            grid = fixed_point.FixedPointParams(fraction_bits, 8, rounding, overflow)
            check_fixed_point(x, grid, 1, [backend])


@pytest.mark.parametrize("kind", [additive_levels, power_levels])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("signed", [False, True])
def test_levels_are_their_own_nearest(kind, bits, signed):
    levels = levels_of(kind, bits, signed)
    assert (np.diff(levels[levels != 0]) > 0).all()
    assert (levels == 0).sum() == (1 if (kind, bits, signed) != (power_levels, 8, False) else 129), (
        "no such small float32"
    )
    assert len(levels) == (2**bits - 1 if signed else 2**bits)
    grid = codebook.CodebookParams(np.float32([3]), levels)
    np.testing.assert_array_equal(codebook.fake_quantize(levels * 3, grid, 0), levels * np.float32(3))
    check_codebook(codebook.bounds_of(levels) * 3, grid, 0)


@pytest.mark.skipif(find_library() is None, reason="the native library was not built")
def test_kernels_refuse_what_does_not_fit():
    x = np.ones((2, 3), np.float32)
    model = operator_model(
        fake_quantize_codebook.function(21), {"x": (FLOAT, 2), "scale": (FLOAT, 0), "levels": (FLOAT, 1)},
        {"y": (FLOAT, 2)},
    )  # fmt: skip
    session = make_session(model, native=True)
    with pytest.raises(Exception, match="1 to 256 values"):
        session.run(None, {"x": x, "scale": np.array(1, np.float32), "levels": np.zeros(257, np.float32)})
    for attributes in ({"total_bits": 17}, {"rounding": 3}, {"overflow": 2}):
        model = operator_model(
            fake_quantize_fixed_point.function(21), {"x": (FLOAT, 2), "fraction_bits": (INT32, 0)}, {"y": (FLOAT, 2)},
            **{"total_bits": 8, "rounding": 0, "overflow": 0, **attributes},
        )  # fmt: skip
        with pytest.raises(Exception, match=f"{next(iter(attributes))} must"):
            make_session(model, native=True)
