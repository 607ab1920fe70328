"""Tensors between runs: in memory, in files, and gone at the end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from onnxq.errors import OnnxqError
from onnxq.runtime.tensor_store import TensorStore


def test_what_does_not_fit_into_memory_goes_to_files_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arrays = [np.random.default_rng(seed).standard_normal((5, 4)).astype(np.float32) for seed in range(5)]
    with TensorStore(limit=2 * arrays[0].nbytes) as store:
        for index, array in enumerate(arrays):
            store.put("x", index, array)
        assert len(list(tmp_path.rglob("*.npy"))) == 3
        for index, array in enumerate(arrays):
            np.testing.assert_array_equal(store.get("x", index), array)
        for index in (0, 4):
            store.drop("x", index)
        assert len(list(tmp_path.rglob("*.npy"))) == 2
        store.put("y", 0, arrays[0])
        assert len(list(tmp_path.rglob("*.npy"))) == 2, "there is room again"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_plain_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with TensorStore(limit=0) as store, pytest.raises(OnnxqError, match="TMPDIR"):
        store.put("x", 0, np.zeros(3))


def test_files_are_gone_after_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), TensorStore(limit=0) as store:
        store.put("x", 0, np.zeros(3))
        assert list(Path(tmp_path).rglob("*.npy"))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
