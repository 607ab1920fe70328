"""Batches: order and errors by threads and by processes, the cache, what happens when one stops early."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from onnxq.data.datasets import open_dataset
from onnxq.data.datasets.base import BadImageError
from onnxq.data.loader import Loader
from onnxq.data.prefetch import ahead
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError

PLAIN = Preprocessing((3, 8, 8), None, None, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))


def images_of(loader):
    return np.concatenate([batch.images for batch in loader])


def test_threads_and_processes_give_the_same_batches_in_the_same_order(small_data):
    dataset = open_dataset(str(small_data), "test")
    plain, parallel = (list(Loader(dataset, PLAIN, range(19, -1, -1), 3, workers=workers)) for workers in (0, 2))
    assert [len(batch.labels) for batch in parallel] == [3] * 6 + [2]
    for a, b in zip(plain, parallel, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_said_by_either(small_data, workers):
    (small_data / "class2" / "1.png").write_bytes(b"no image")
    loader = Loader(open_dataset(str(small_data), "test"), PLAIN, range(20), 3, workers=workers)
    with pytest.raises(OnnxqError, match=r"1\.png: cannot be decoded"):
        list(loader)


class Deadly:
    """A data set whose images kill who decodes them."""

    name, class_count, in_memory = "deadly", 1, False

    def __len__(self):
        return 4

    def label(self, index):
        return 0

    def stamp(self, index):
        return ""

    def image(self, index):
        os.kill(os.getpid(), signal.SIGKILL)
        raise BadImageError


def test_a_worker_that_dies_is_said():
    with pytest.raises(OnnxqError, match="a process that decodes images died"):
        list(Loader(Deadly(), PLAIN, range(4), 2, workers=1))


@pytest.mark.parametrize("workers", [0, 1])
def test_stopping_early_ends_threads_and_processes(small_data, workers):
    before = threading.active_count()
    batches = iter(Loader(open_dataset(str(small_data), "test"), PLAIN, range(20), 2, workers=workers))
    next(batches)
    assert len(multiprocessing.active_children()) == workers
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert multiprocessing.active_children() == []


def test_pinned_memory_where_there_is_no_gpu(small_data, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    plain, pinned = (Loader(open_dataset(str(small_data), "test"), PLAIN, range(20), pinned=p) for p in (False, True))
    np.testing.assert_array_equal(images_of(plain), images_of(pinned))


def test_what_runs_ahead_raises_in_its_place_and_is_closed():
    closed = []

    def items():
        try:
            yield 1
            yield 2
            raise OnnxqError("the third")
        finally:
            closed.append(True)

    seen = []
    with pytest.raises(OnnxqError, match="the third"):
        for item in ahead(items(), 3):
            seen.append(item)
    assert seen == [1, 2]
    assert closed == [True]


def test_a_second_pass_reads_the_cache(small_data, tmp_path, monkeypatch):
    cache = tmp_path / "new" / "cache"
    dataset = open_dataset(str(small_data), "test")
    first = images_of(Loader(dataset, PLAIN, range(20), 7, cache=cache))
    (file,) = cache.iterdir()
    assert np.load(file).shape == (20, 8, 8, 3)
    monkeypatch.setattr(type(dataset), "image", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(images_of(Loader(dataset, PLAIN, range(20), 3, cache=cache)), first)


def test_the_cache_knows_images_preprocessing_and_selection_apart(small_data, tmp_path):
    loader = Loader(open_dataset(str(small_data), "test"), PLAIN, range(20), cache=tmp_path / "cache")
    before = images_of(loader)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(small_data / "class0" / "0.png")
    assert (images_of(loader) != before).any()
    small = Preprocessing((3, 4, 4), 4, 4)
    assert images_of(Loader(loader.dataset, small, range(20), cache=loader.cache)).shape == (20, 3, 4, 4)
    assert len(images_of(Loader(loader.dataset, PLAIN, range(3), cache=loader.cache))) == 3
    assert len(list(loader.cache.iterdir())) == 4


def test_a_damaged_cache_is_made_anew_and_a_half_pass_leaves_nothing(small_data, tmp_path):
    loader = Loader(open_dataset(str(small_data), "test"), PLAIN, range(20), 2, cache=tmp_path / "cache")
    batches = iter(loader)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert list(loader.cache.iterdir()) == []
    first = images_of(loader)
    (file,) = loader.cache.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-10], b"", b"PK\x03\x04 no archive"):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(images_of(loader), first)
        assert file.read_bytes() == whole


def test_a_bad_image_is_not_cached(small_data, tmp_path):
    (small_data / "class2" / "1.png").write_bytes(b"no image")
    dataset = open_dataset(str(small_data), "test")
    loader = Loader(dataset, PLAIN, range(20), 3, skip_bad_images=True, cache=tmp_path / "cache")
    assert len(images_of(loader)) == 19
    assert list(loader.cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(small_data, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    loader = Loader(open_dataset(str(small_data), "test"), PLAIN, range(20), cache=tmp_path / "file")
    with pytest.raises(OnnxqError, match=r"`cache` .*file: cannot be written"):
        list(loader)
