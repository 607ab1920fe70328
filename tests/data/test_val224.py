"""The published validation set: a pickle of JPEG strings, read without executing it."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from onnxq.data.datasets import BadImageError, open_dataset
from onnxq.errors import OnnxqError


def jpeg(colour):
    file = io.BytesIO()
    Image.new("RGB", (24, 24), colour).save(file, "JPEG", quality=95)
    return file.getvalue()


COLOURS = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
CONTENT = {"data": [jpeg(colour) for colour in COLOURS], "target": [3, 999, 0]}


@pytest.mark.parametrize("protocol", range(6))
def test_images_and_labels(protocol, tmp_path):
    (tmp_path / "val224.pkl").write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    found = open_dataset(f"val224:{tmp_path / 'val224.pkl'}", "test")
    assert len(found) == 3 and [found.label(index) for index in range(3)] == [3, 999, 0]
    for index, colour in enumerate(COLOURS):
        np.testing.assert_allclose(np.asarray(found.image(index)).mean(axis=(0, 1)), colour, atol=4)
    assert found.stamp(0) != found.stamp(1)


def test_strings_of_python_2(tmp_path):
    """Protocol 2 wrote byte strings as such."""
    data, target = CONTENT["data"][0], b"K\x07"
    program = b"\x80\x02}(U\x04data](T" + len(data).to_bytes(4, "little") + data + b"eU\x06target](" + target + b"eu."
    (tmp_path / "old.pkl").write_bytes(program)
    found = open_dataset(f"val224:{tmp_path / 'old.pkl'}", "test")
    assert found.label(0) == 7 and found.image(0).size == (24, 24)


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"data": [Evil()], "target": [0]}))
    with pytest.raises(OnnxqError, match="not a validation set of JPEG strings, or a damaged one"):
        open_dataset("val224:evil.pkl", "test")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": [b"x"], "target": [1000]}, "'target' must be a class from 0 to 999"),
        ({"data": [b"x"], "target": [1, 2]}, "for each image"),
        ({"data": ["x"], "target": [1]}, "list of JPEG strings"),
        ({"data": [], "target": []}, "list of JPEG strings"),
        ([1], "no dictionary"),
    ],
)
def test_other_content_is_refused(content, message, tmp_path):
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(OnnxqError, match=message):
        open_dataset(f"val224:{tmp_path / 'v.pkl'}", "test")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(OnnxqError, match="no such file"):
        open_dataset("val224:nowhere.pkl", "test")
    with pytest.raises(OnnxqError, match="a folder; `data` val224:FILE"):
        open_dataset(f"val224:{tmp_path}", "test")
    (tmp_path / "v.pkl").write_bytes(pickle.dumps({"data": [b"no image"], "target": [1]}))
    found = open_dataset(f"val224:{tmp_path / 'v.pkl'}", "test")
    with pytest.raises(BadImageError, match="image 0: cannot be decoded"):
        found.image(0)
