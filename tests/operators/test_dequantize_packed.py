"""DequantizePacked, UnpackSigned and the bit stream."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from helpers import FLOAT, INT8, INT32, INT64, UINT8, assert_same_bits, operator_model, run, run_reference
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from onnxq.formats.affine import AffineParams, dequantize
from onnxq.formats.packing import pack, unpack
from onnxq.operators import dequantize_packed as operator
from onnxq.operators import unpack_signed

INPUTS = {"codes": (UINT8, 1), "bits": (INT32, 1), "scale": (FLOAT, 1), "zero_point": (FLOAT, 1), "shape": (INT64, 1)}


@st.composite
def streams(draw):
    widths = draw(st.lists(st.integers(0, 8), min_size=1, max_size=9))
    kernel = draw(st.sampled_from([(1,), (3,), (2, 3), (4, 3, 3), (5, 1, 1)]))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    codes = np.stack([random.integers(0, 2**width, int(np.prod(kernel))) for width in widths]).astype(np.uint8)
    return codes, np.array(widths, np.int32), kernel, random


@given(streams())
def test_all_agree(stream):
    codes, bits, kernel, random = stream
    grid = AffineParams(
        random.uniform(0.01, 1, len(bits)).astype(np.float32),
        random.integers(-20, 300, len(bits)).astype(np.float32),
        bits,
    )
    shape = (len(bits), *kernel)
    want = dequantize(codes.astype(np.float32).reshape(shape), grid, 0)
    feeds = {
        "codes": pack(codes, bits),
        "bits": bits,
        "scale": grid.scale,
        "zero_point": grid.zero_point,
        "shape": np.int64(shape),
    }
    model = operator_model(operator.function(21), INPUTS, {"weights": (FLOAT, len(shape))})
    assert_same_bits(run_reference(model, feeds)[0], want, "ReferenceEvaluator")
    assert_same_bits(run(model, feeds, native=False)[0], want, "function body")


@given(streams())
def test_signed_codes_agree(stream):
    codes, bits, kernel, _ = stream
    shape = (len(bits), *kernel)
    half = np.floor(np.exp2(bits - 1.0)).astype(int)[:, None]
    want = (codes.astype(int) - half).astype(np.int8).reshape(shape)
    feeds = {"codes": pack(codes, bits), "bits": bits, "shape": np.int64(shape)}
    inputs = {name: INPUTS[name] for name in feeds}
    model = operator_model(unpack_signed.function(21), inputs, {"weights": (INT8, len(shape))})
    assert_same_bits(run_reference(model, feeds)[0], want, "ReferenceEvaluator")
    assert_same_bits(run(model, feeds, native=False)[0], want, "function body")


def test_one_width_and_one_grid_for_all_channels():
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    feeds = {
        "codes": pack(codes, np.full(3, 4, np.int32)), "bits": np.int32([4]), "scale": np.float32([0.5]),
        "zero_point": np.float32([2]), "shape": np.int64([3, 4]),
    }  # fmt: skip
    model = operator_model(operator.function(21), INPUTS, {"weights": (FLOAT, 2)})
    assert_same_bits(run(model, feeds, native=False)[0], (codes.astype(np.float32) - 2) * np.float32(0.5))


def test_it_is_folded_when_the_session_loads(tmp_path):
    bits = np.full(8, 4, np.int32)
    codes = np.random.default_rng(0).integers(0, 16, (8, 27)).astype(np.uint8)
    feeds = {
        "codes": pack(codes, bits),
        "bits": np.int32([4]),
        "scale": np.ones(8, np.float32),
        "zero_point": np.zeros(8, np.float32),
        "shape": np.int64([8, 3, 3, 3]),
    }
    model = operator_model(operator.function(21), INPUTS, {"weights": (FLOAT, 4)})
    del model.graph.input[:]
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in feeds.items())
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    import onnx

    assert len(onnx.load(tmp_path / "optimized.onnx").graph.node) == 0


@given(streams())
def test_unpack_inverts_pack(stream):
    codes, bits, _, _ = stream
    packed = pack(codes, bits)
    assert len(packed) == -(-codes.shape[1] * int(bits.sum()) // 8)
    assert (unpack(packed, bits, codes.shape[1]) == codes).all()


def test_a_code_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        pack(np.uint8([[4]]), np.int32([2]))
