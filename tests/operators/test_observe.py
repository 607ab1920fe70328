"""Observe: numpy = function body = ReferenceEvaluator = kernel, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import DOUBLE, FLOAT, INT32, KERNEL_PROVIDERS, assert_same_bits, operator_model, run, run_reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxq.core.histogram import ANCHORS, bin_edges
from onnxq.core.observation import observe
from onnxq.operators import observe as operator
from onnxq.runtime.library import find_library
from onnxq.runtime.sessions import make_session

KINDS = {
    "minimum": (FLOAT, 1),
    "maximum": (FLOAT, 1),
    "sum": (DOUBLE, 1),
    "sum_squares": (DOUBLE, 1),
    "histogram": (INT32, 2),
}
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 4.0, -4.0, 0.25, 1e-44, 3.4e38, -3.4e38]),
    st.floats(-10, 10, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
ANY = st.one_of(VALUES, st.sampled_from([np.nan, np.inf, -np.inf]))


def model_of(rank: int):
    return operator_model(operator.function(21), {"x": (FLOAT, rank)}, KINDS)


def compare(got, x, what):
    want = observe(x)
    for name, value in zip(KINDS, got, strict=True):
        assert_same_bits(value, getattr(want, name), f"{what}: {name}")


@st.composite
def tensors(draw):
    rank = draw(st.integers(2, 4))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 7, 33]), min_size=rank, max_size=rank)))
    elements = ANY if draw(st.booleans()) else VALUES
    return draw(hnp.arrays(np.float32, shape, elements=elements))


@given(tensors())
def test_all_agree(x):
    model = model_of(x.ndim)
    compare(run_reference(model, {"x": x}), x, "ReferenceEvaluator")
    compare(run(model, {"x": x}, native=False), x, "function body")
    for provider in KERNEL_PROVIDERS:
        compare(run(model, {"x": x}, True, provider), x, f"{provider} kernel")


def test_on_each_backend(backend):
    native, provider = backend
    random = np.random.default_rng(0)
    for shape in [(4, 5, 31, 33), (2, 300, 7, 7), (8, 3, 128, 128), (16, 40), (0, 3, 4, 4), (2, 3, 0)]:
        x = (
            random.standard_normal(shape)
            * random.choice([1e-3, 1, 50], shape[1])[(None, ...) + (None,) * (len(shape) - 2)]
        ).astype(np.float32)
        compare(run(model_of(len(shape)), {"x": x}, native, provider), x, str(shape))
        if x.size:
            x.ravel()[x.size // 2] = np.inf
            compare(run(model_of(len(shape)), {"x": x}, native, provider), x, f"{shape} with Inf")


def test_moments_are_those_of_the_values():
    x = np.random.default_rng(1).laplace(0.3, 2, (4, 3, 50, 50)).astype(np.float32)
    seen = observe(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(seen.sum, wide.sum(axis=(0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(seen.sum_squares, (wide**2).sum(axis=(0, 2, 3)), rtol=1e-7)
    assert (seen.minimum == x.min(axis=(0, 2, 3))).all()
    assert (seen.histogram.sum(axis=1) == 4 * 2500).all()


def test_every_value_lies_in_its_bin():
    x = np.random.default_rng(2).standard_normal((1, 1, 4000)).astype(np.float32)
    seen = observe(x)
    anchor = ANCHORS[np.abs(x).max() <= ANCHORS][0]
    want, _ = np.histogram(x.ravel(), bin_edges() * anchor)
    # the edges belong to the bin nearer to +-1; none of these values is an edge
    assert (seen.histogram[0] == want).all()


@pytest.mark.skipif(find_library() is None, reason="the native library was not built")
def test_kernel_does_not_depend_on_threads():
    import onnxruntime as ort

    from onnxq.runtime.sessions import session_options

    x = np.random.default_rng(3).standard_normal((4, 64, 40, 40)).astype(np.float32)
    results = []
    for threads in (1, 2, 5):
        options: ort.SessionOptions = session_options(native=True)
        options.intra_op_num_threads = threads
        results.append(make_session(model_of(4), options=options).run(None, {"x": x}))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            assert a.tobytes() == b.tobytes()
