"""FixedPointConv: the kernels against numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import FLOAT, INT32, KERNEL_PROVIDERS, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from onnxq.formats.fixed_point import OVERFLOWS, ROUNDINGS, FixedPointParams
from onnxq.formats.fixed_point_convolution import convolve
from onnxq.operators import DOMAIN, fixed_point_conv
from onnxq.runtime.library import find_library
from onnxq.runtime.sessions import make_session

needs_library = pytest.mark.skipif(find_library() is None, reason="the native library was not built")


def run_kernel(x, weight, bias, grid, provider="cpu", **geometry):
    inputs = {"x": (FLOAT, 4), "weight": (FLOAT, 4), "bias": (FLOAT, 1), "fraction_bits": (INT32, 1)}
    node = helper.make_node(
        fixed_point_conv.NAME, list(inputs), ["y"], domain=DOMAIN, **geometry, **grid.quantizer_calls(4)[0].attributes
    )
    values = [helper.make_tensor_value_info(name, kind, [None] * rank) for name, (kind, rank) in inputs.items()]
    graph = helper.make_graph([node], "g", values, [helper.make_tensor_value_info("y", FLOAT, [None] * 4)])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    feeds = {"x": x, "weight": weight, "bias": bias, "fraction_bits": grid.fraction_bits}
    return make_session(model, provider, native=True).run(None, feeds)[0]


@st.composite
def calls(draw):
    group = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = draw(st.sampled_from([1, 2, 3, 4, 30])), group * draw(st.sampled_from([1, 2, 3, 4, 9, 17, 24]))
    most = 21 if inputs < 30 else 9
    size = draw(st.tuples(st.integers(0, 3), st.just(group * inputs), st.integers(3, most), st.integers(3, most)))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    geometry = {
        "strides": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "pads": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "dilations": (1, 1) if max(kernel) > 2 else draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "group": group,
    }
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fraction_bits = random.integers(0, 10, draw(st.sampled_from([1, outputs]))).astype(np.int32)
    grid = FixedPointParams(
        fraction_bits, draw(st.integers(2, 16)), draw(st.sampled_from(ROUNDINGS)), draw(st.sampled_from(OVERFLOWS))
    )
    x = random.standard_normal(size).astype(np.float32)
    if draw(st.booleans()) and x.size:
        x.ravel()[random.integers(x.size)] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
    weight = random.standard_normal((outputs, inputs, *kernel)).astype(np.float32)
    return x, weight, random.standard_normal(outputs).astype(np.float32), grid, geometry


@needs_library
@given(calls())
def test_kernel_and_numpy_agree(call):
    x, weight, bias, grid, geometry = call
    with np.errstate(all="ignore"):
        want = convolve(x, weight, bias, grid, **geometry)
    for provider in KERNEL_PROVIDERS:
        assert_same_bits(run_kernel(x, weight, bias, grid, provider, **geometry), want, provider)


@needs_library
def test_on_each_provider(backend):
    native, provider = backend
    if not native:
        pytest.skip("it has no function body")
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 16, 15, 33)).astype(np.float32)
    weight = random.standard_normal((24, 8, 3, 3)).astype(np.float32)
    bias = random.standard_normal(24).astype(np.float32)
    geometry = {"strides": (2, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "group": 2}
    for overflow in OVERFLOWS:
        grid = FixedPointParams(np.full(24, 4, np.int32), 10, "half_even", overflow)
        want = convolve(x, weight, bias, grid, **geometry)
        assert_same_bits(run_kernel(x, weight, bias, grid, provider, **geometry), want)


@pytest.mark.parametrize("kernel", [False, True])
def test_the_published_vector(kernel):
    """4 bits, the output's format has 2 integer bits: step 0.5."""
    x = np.float32([[1, 0.5, -1], [0.25, 2, 1], [0, -0.5, 3]])[None, None]
    weight = np.float32([[0.5, -0.25], [0.75, 0.125]])[None, None]
    grid = FixedPointParams(np.int32([1]), 4)
    compute = run_kernel if kernel else convolve
    if kernel and find_library() is None:
        pytest.skip("the native library was not built")
    geometry = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1}
    got = compute(x, weight, np.float32([0.1]), grid, **geometry)
    np.testing.assert_array_equal(got[0, 0], [[0.5, 1.5], [-0.5, 1.0]])


@needs_library
def test_sums_of_many_products_are_exact():
    """16 bits, 40,000 products of the largest code: beyond what float32 or int32 sums would hold."""
    x = np.full((1, 40_000, 1, 1), 100, np.float32)
    weight = np.concatenate([np.full((1, 20_001), 3.0), np.full((1, 19_999), -3.0)], axis=1).astype(np.float32)
    weight = weight.reshape(1, -1, 1, 1)
    grid = FixedPointParams(np.int32([7]), 16, "half_even", "wrap")
    geometry = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1}
    bias = np.zeros(1, np.float32)
    want = convolve(x, weight, bias, grid, **geometry)
    assert_same_bits(run_kernel(x, weight, bias, grid, **geometry), want)


@needs_library
def test_shapes_that_do_not_fit_are_refused():
    one = np.ones((1, 2, 3, 3), np.float32)
    geometry = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1}
    grid = FixedPointParams(np.int32([1]), 4)
    with pytest.raises(Exception, match="weight"):
        run_kernel(one, np.ones((1, 3, 1, 1), np.float32), np.zeros(1, np.float32), grid, **geometry)
    with pytest.raises(Exception, match="bias"):
        run_kernel(one, np.ones((1, 2, 1, 1), np.float32), np.zeros(2, np.float32), grid, **geometry)
    for name in ("strides", "dilations"):
        with pytest.raises(Exception, match="must lie between 1 and"):
            run_kernel(
                one, np.ones((1, 2, 1, 1), np.float32), np.zeros(1, np.float32), grid, **{**geometry, name: (0, 1)}
            )
