"""FakeQuantize: numpy = function body = ReferenceEvaluator = kernel, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import FLOAT, FLOAT16, INT32, KERNEL_PROVIDERS, assert_same_bits, operator_model, run, run_reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxq.errors import OnnxqError
from onnxq.formats.affine import AffineParams, broadcastable, fake_quantize
from onnxq.operators import fake_quantize as operator
from onnxq.runtime.library import find_library
from onnxq.runtime.sessions import make_session

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e-44, 3e38, -3e38]
VALUES = st.one_of(st.sampled_from(SPECIAL), st.floats(width=32), st.floats(-20, 20, width=32))


def model_of(kind: int, rank: int, parameter_rank: int):
    inputs = {"x": (kind, rank), "scale": (FLOAT, parameter_rank), "zero_point": (FLOAT, parameter_rank)}
    return operator_model(operator.function(21), {**inputs, "bits": (INT32, parameter_rank)}, {"y": (kind, rank)})


@st.composite
def calls(draw):
    """x of rank 1 to 4 (dimensions of 0 to 5), the axis of its channels, and a grid per channel or for the tensor."""
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 5, 17]), min_size=rank, max_size=rank)))
    axis = draw(st.integers(0, rank - 1))
    channels = shape[axis] if draw(st.booleans()) and shape[axis] > 0 else 1
    scales = st.one_of(st.just(0.0), st.floats(2.0**-126, 2.0**100, width=32), st.sampled_from([0.25, 1.0]))
    parameters = AffineParams(
        scale=draw(hnp.arrays(np.float32, channels, elements=scales)),
        zero_point=draw(hnp.arrays(np.float32, channels, elements=st.integers(-300, 300).map(float))),
        bits=draw(hnp.arrays(np.int32, channels, elements=st.integers(0, 8))),
    )
    x = draw(hnp.arrays(np.float32, shape, elements=VALUES))
    return x, parameters, axis


def feeds_of(x, grid, axis):
    return {name: broadcastable(getattr(grid, name), x.ndim, axis) for name in ("scale", "zero_point", "bits")}


def check(x, grid, axis, kind=FLOAT):
    """All ways to compute agree with numpy."""
    dtype = np.float32 if kind == FLOAT else np.float16
    x = x.astype(dtype)
    with np.errstate(all="ignore"):
        want = fake_quantize(x.astype(np.float32), grid, axis).astype(dtype)
    feeds = {"x": x, **feeds_of(x, grid, axis)}
    model = model_of(kind, x.ndim, feeds["scale"].ndim)
    assert_same_bits(run_reference(model, feeds)[0], want, "ReferenceEvaluator")
    assert_same_bits(run(model, feeds, native=False)[0], want, "function body")
    for provider in KERNEL_PROVIDERS:
        assert_same_bits(run(model, feeds, True, provider)[0], want, f"{provider} kernel")


@given(calls())
def test_all_agree(call):
    check(*call)


@given(calls())
def test_all_agree_in_float16(call):
    with np.errstate(over="ignore"):
        check(*call, kind=FLOAT16)


def test_on_each_backend(backend):
    native, provider = backend
    random = np.random.default_rng(0)
    for shape in [(2, 5, 7, 9), (3, 64, 56, 56), (1, 3, 1, 1), (0, 4, 3, 3), (4, 6), (2, 8, 1001)]:
        channels = shape[1]
        x = (random.standard_normal(shape) * 4).astype(np.float32)
        x.ravel()[::17] = np.nan
        x.ravel()[1::19] = np.inf
        grid = AffineParams(
            random.uniform(0.01, 1, channels).astype(np.float32),
            random.integers(-3, 12, channels).astype(np.float32),
            random.integers(0, 9, channels).astype(np.int32),
        )
        feeds = {"x": x, **feeds_of(x, grid, 1)}
        (y,) = run(model_of(FLOAT, len(shape), len(shape)), feeds, native, provider)
        assert_same_bits(y, fake_quantize(x, grid, 1))


def test_ties_go_to_even():
    grid = AffineParams(np.float32([1]), np.float32([0]), np.int32([4]))
    x = np.float32([0.5, 1.5, 2.5, 3.5])
    assert fake_quantize(x, grid, 0).tolist() == [0, 2, 2, 4]
    check(x, grid, 0)


def test_parameters_may_be_mixed_scalar_and_per_channel():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 9
    feeds = {
        "x": x,
        "scale": np.array(0.5, np.float32),
        "zero_point": np.float32([[[0], [3], [7]]]),
        "bits": np.int32([[[2], [3], [4]]]),
    }
    inputs = {"x": (FLOAT, 3), "scale": (FLOAT, 0), "zero_point": (FLOAT, 3), "bits": (INT32, 3)}
    model = operator_model(operator.function(21), inputs, {"y": (FLOAT, 3)})
    want = run_reference(model, feeds)[0]
    for native in (False, True) if find_library() else (False,):
        assert_same_bits(run(model, feeds, native)[0], want)


@pytest.mark.skipif(find_library() is None, reason="the native library was not built")
def test_kernel_refuses_parameters_that_do_not_fit():
    session = make_session(model_of(FLOAT, 2, 2), native=True)
    one = np.ones((1, 1), np.float32)
    for scale, zero_point in [(np.ones((1, 4), np.float32), one), (np.ones((2, 3), np.float32), one)]:
        with pytest.raises(Exception, match="scale must be a scalar or have one value for each channel"):
            session.run(
                None,
                {"x": np.ones((2, 3), np.float32), "scale": scale, "zero_point": zero_point, "bits": np.int32([[4]])},
            )
    with pytest.raises(Exception, match="same axis"):
        session.run(
            None,
            {
                "x": np.ones((2, 3), np.float32),
                "scale": np.ones((1, 3), np.float32),
                "zero_point": np.ones((2, 1), np.float32),
                "bits": np.int32([[4]]),
            },
        )


@pytest.mark.skipif(find_library() is None, reason="the native library was not built")
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_lesser_instruction_sets(isa):
    """The other builds of the kernels, in a process of their own: the choice is made once."""
    script = "; ".join(
        [
            "import conftest",
            "import operators.test_fake_quantize as f",
            "import operators.test_observe as o",
            "f.test_all_agree()",
            "f.test_all_agree_in_float16()",
            "o.test_all_agree()",
            "import operators.test_elementwise as e",
            "import operators.test_fixed_point_conv as c",
            "e.test_codebook()",
            "e.test_mid_tread()",
            "e.test_fixed_point()",
            "c.test_kernel_and_numpy_agree()",
        ]
    )
    folder = str(Path(__file__).parents[1])
    environment = {**os.environ, "ONNXQ_CPU_ISA": isa, "ONNXQ_EXAMPLES": "few", "PYTHONPATH": folder}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_library_is_said(monkeypatch):
    monkeypatch.delenv("ONNXQ_LIBRARY", raising=False)
    monkeypatch.setattr("onnxq.runtime.library.LIBRARY", "libnothing.so")
    with pytest.raises(OnnxqError, match="native library is not installed"):
        make_session(model_of(FLOAT, 1, 1), native=True)
