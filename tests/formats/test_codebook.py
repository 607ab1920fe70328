"""k-means codebooks and the operator DequantizeCodebook."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import FLOAT, INT32, INT64, UINT8, assert_same_bits, operator_model, run, run_reference
from hypothesis import given
from hypothesis import strategies as st

from onnxq.formats.codebook import CodebookWeightParams, dequantize
from onnxq.formats.kmeans import KMeans
from onnxq.formats.packing import pack
from onnxq.operators import dequantize_codebook

CODEBOOK_INPUTS = {
    "codes": (UINT8, 1),
    "bits": (INT32, 1),
    "levels": (FLOAT, 2),
    "scale": (FLOAT, 1),
    "offset": (FLOAT, 1),
    "shape": (INT64, 1),
}


def plain(codes, levels):
    return dequantize(codes, CodebookWeightParams(levels, np.ones(1, np.float32), np.zeros(1, np.float32), 8))


@given(st.integers(1, 7), st.integers(0, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_codebook_body_reference_and_numpy_agree(channels, bits, shared, seed):
    random = np.random.default_rng(seed)
    levels = random.standard_normal((1 if shared else channels, 2**bits)).astype(np.float32)
    codes = random.integers(0, 2**bits, (channels, 18)).astype(np.uint8)
    book = CodebookWeightParams(levels, *random.standard_normal((2, channels)).astype(np.float32), bits)  # type: ignore[call-arg]
    feeds = {
        "codes": pack(codes, np.full(channels, bits, np.int32)),
        "bits": np.int32([bits]),
        "levels": levels,
        "scale": book.scale,
        "offset": book.offset,
        "shape": np.int64([channels, 2, 3, 3]),
    }
    model = operator_model(dequantize_codebook.function(21), CODEBOOK_INPUTS, {"weights": (FLOAT, 4)})
    want = dequantize(codes, book).reshape(channels, 2, 3, 3)
    assert_same_bits(run_reference(model, feeds)[0], want, "ReferenceEvaluator")
    assert_same_bits(run(model, feeds, native=False)[0], want, "function body")


@pytest.mark.parametrize("per_channel", [False, True])
def test_kmeans(per_channel):
    rows = np.random.default_rng(0).laplace(size=(4, 500)).astype(np.float32)
    params = KMeans().fit_weight(rows if per_channel else rows.reshape(1, -1), 3)
    codes, levels = params.codes(rows), params.levels
    assert levels.shape == (4 if per_channel else 1, 8)
    assert (np.diff(levels) > 0).all()
    error = ((plain(codes, levels) - rows) ** 2).mean()
    uniform = np.linspace(rows.min(), rows.max(), 8)
    assert error < 0.5 * (np.abs(rows[..., None] - uniform).min(axis=-1) ** 2).mean()
    nearest = np.abs(rows[..., None] - levels[:, None, :]).argmin(axis=-1)
    assert (nearest == codes).all()


def test_kmeans_of_few_values_is_exact():
    rows = np.float32([[1, 2, 1, 2], [3, 3, 3, 3]])
    params = KMeans().fit_weight(np.tile(rows, 2), 2)
    assert params.levels.shape == (2, 4)
    np.testing.assert_array_equal(params.dequantize(params.codes(rows)), rows)
