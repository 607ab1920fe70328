"""Data without labels: folders, lists, arrays by name, functions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import parse, run
from PIL import Image

import onnxq
from onnxq.core.feeds import Feed, as_batch, joined
from onnxq.data.datasets import open_dataset
from onnxq.data.feeds import FeedLoader, open_feeds
from onnxq.errors import OnnxqError
from onnxq_cli.main import _group


def onnxq_command(*arguments):
    return CliRunner().invoke(_group, [str(argument) for argument in arguments])


@pytest.fixture
def pictures(tmp_path, random):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def two_inputs(random, tmp_path):
    """A network of an image and of numbers, which adds what it makes of both."""
    weights = {
        "w": random.normal(size=(4, 2, 3, 3)).astype(np.float32),
        "v": random.normal(size=(6, 4)).astype(np.float32),
        "u": random.normal(size=(4, 5)).astype(np.float32),
    }
    model = parse(
        """two (float[n,2,h,w0] image, float[n,6] numbers) => (float[n,5] y) {
            a = Conv <pads = [1,1,1,1]> (image, w)  r = Relu(a)  g = GlobalAveragePool(r)  f = Flatten(g)
            b = MatMul(numbers, v)  s = Add(f, b)  t = Relu(s)  y = MatMul(t, u)
        }""",
        weights,
    )
    onnx.save(model, tmp_path / "two.onnx")
    return tmp_path / "two.onnx"


def feeds(random, count, size=6):
    return {
        "image": random.normal(size=(count, 2, size, size)).astype(np.float32),
        "numbers": random.normal(size=(count, 6)).astype(np.float32),
    }


def test_networks_of_several_inputs_and_sizes(two_inputs, random):
    """Calibrated, rounded by error feedback, biases corrected and outputs matched on batches of different sizes."""
    batches = [feeds(random, 6, size) for size in (6, 7, 9, 6)]
    model = onnx.load(two_inputs)
    statistics = onnxq.calibrate(model, batches)
    assert statistics.images == 24 and set(statistics.tensors) >= {"image", "numbers"}
    for options in ({}, {"bias_correction": "images", "rounding": "nearest"}, {"target": "onnxruntime", "act_bits": 8}):
        seen = statistics if "target" not in options else None
        result = onnxq.quantize(
            model, seen, onnxq.Recipe.of(weight_bits=8, **{"act_bits": 8, **options}), images=batches
        )
        want, got = (run(each, batches[2], native=None)[0] for each in (model, result.model))
        assert np.abs(want - got).max() < 0.05 * np.abs(want).max(), options


def test_arrays_by_name_from_files_and_functions(two_inputs, random, tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    for number in range(10):
        np.savez(folder / f"{number}.npz", **feeds(random, 2))
    source = "import numpy as np\n\ndef batches():\n    random = np.random.default_rng(0)\n    for _ in range(10):\n"
    source += (
        "        yield {'image': random.normal(size=(2, 2, 6, 6)).astype('f'), 'numbers': np.zeros((2, 6), 'f')}\n"
    )
    (tmp_path / "mine.py").write_text(source)
    for data in (folder, f"{tmp_path / 'mine.py'}:batches"):
        done = onnxq_command("quantize", two_inputs, "--data", data, "--bits", "8", "-o", tmp_path / "q.onnx")
        assert done.exit_code == 0, done.output
        done = onnxq_command("eval", two_inputs, tmp_path / "q.onnx", "--data", data, "-n", "7")
        assert done.exit_code == 0 and "sqnr" in done.output and "\n7 images of" in f"\n{done.stdout}", done.output
        done = onnxq_command("compare", two_inputs, tmp_path / "q.onnx", "--data", data, "--layers")
        assert done.exit_code == 0 and "20 images of" in done.output, done.output
    done = onnxq_command("calibrate", two_inputs, "--data", folder, "-o", tmp_path / "s.npz")
    assert done.exit_code == 0 and "20 images" in done.output


def test_arrays_are_cut_and_spread(random, tmp_path, small_model):
    folder = tmp_path / "arrays"
    folder.mkdir()
    for number in range(10):
        np.save(folder / f"{number}.npy", np.full((4, 3, 8, 8), number, np.float32))
    feeds_of = open_feeds(str(folder))
    assert feeds_of is not None
    loader = FeedLoader.of(feeds_of, 10, 3)
    batches = [np.asarray(batch.images) for batch in loader]
    assert [len(batch) for batch in batches] == [3, 1, 3, 1, 2] and len(loader) == 10
    assert [batch[0, 0, 0, 0] for batch in batches] == [0, 0, 3, 3, 6]
    for option in (["--preset", "imagenet"], ["--cache", tmp_path]):
        done = onnxq_command("eval", small_model, "--data", folder, *option)
        assert done.exit_code == 2 and "does nothing for arrays" in done.output


def test_programs_of_the_user_are_not_overwritten(small_model, pictures, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def one(outputs, labels):\n    return 1\n\ndef stops():\n    raise SystemExit(3)\n"
    )
    before = (tmp_path / "mine.py").read_text()
    for arguments in (
        ["compare", small_model, small_model, "--data", f"{tmp_path / 'mine.py'}:one"],
        ["eval", small_model, "--data", pictures, "--metric", f"{tmp_path / 'mine.py'}:one"],
    ):
        done = onnxq_command(*arguments, "--json", tmp_path / "mine.py")
        assert "it is an input, too" in str(done.exception) and (tmp_path / "mine.py").read_text() == before
    done = onnxq_command("eval", small_model, "--data", f"{tmp_path / 'mine.py'}:stops")
    assert "SystemExit: 3" in str(done.exception)


def test_a_picture_among_class_folders_is_told(small_data, small_model, pictures):
    (pictures / "cat").mkdir()
    (pictures / "00.png").rename(pictures / "cat" / "00.png")
    with pytest.raises(OnnxqError, match="images lie in it and in folders in it"):
        open_dataset(str(pictures), "calib")


def test_wrong_batches_are_told(two_inputs, random, tmp_path):
    good = feeds(random, 2)
    wrong: list[tuple[Any, str]] = [
        (good["image"], "has 2 inputs, image, numbers: give batches that are arrays by name"),
        ({"image": good["image"]}, "has the inputs image, numbers, the batch has image"),
        ({**good, "numbers": good["numbers"][:1]}, "differ in their first axis"),
        ({**good, "numbers": good["numbers"].astype(np.int64)}, "input numbers takes float32, the batch has int64"),
        ({**good, "image": good["image"][:, 0]}, "for input image, 4 axes; the data has 3"),
        ({**good, "numbers": good["numbers"][:, :5]}, "it has 5 channels instead of 6"),
        ({}, "a batch must be an array, or arrays by name"),
        ([1, 2], "images must be arrays of float32"),
    ]
    for batch, said in wrong:
        with pytest.raises(OnnxqError, match=said):
            onnxq.calibrate(two_inputs, [batch])


def test_batches_behave_as_arrays(random):
    feed = as_batch(feeds(random, 5))
    assert isinstance(feed, Feed) and len(feed) == 5 and len(feed[np.arange(5) % 2 == 0]) == 3
    assert len(joined([feed, feed[:2]])) == 7
    with pytest.raises(OnnxqError, match="different sizes cannot be joined"):
        joined([feed, as_batch(feeds(random, 2, size=9))])


def test_flat_folders_and_lists(pictures, small_model, tmp_path):
    (tmp_path / "all.txt").write_text("".join(f"pictures/{path.name}\n" for path in sorted(pictures.iterdir())))
    (tmp_path / "labelled.txt").write_text("".join(f"pictures/{number:02}.png {number % 5}\n" for number in range(12)))
    (tmp_path / "data.yaml").write_text(f"path: {tmp_path}\ntrain: pictures\nval: all.txt\nnames: [a]\n")
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    (annotations / "instances_pictures.json").write_text(
        json.dumps({"images": [{"file_name": "03.png"}, {"file_name": "04.png"}]})
    )
    for source, count, classes in (
        (pictures, 12, 0),
        (tmp_path / "all.txt", 12, 0),
        (tmp_path / "labelled.txt", 12, 5),
        (tmp_path / "data.yaml", 12, 0),
        (annotations / "instances_pictures.json", 2, 0),
    ):
        for purpose in ("calib", "test"):
            dataset = open_dataset(str(source), purpose)
            assert (len(dataset), dataset.class_count) == (count, classes), source
            assert dataset.image(1).size == (8, 8) and dataset.stamp(1) is not None
    assert [open_dataset(str(tmp_path / "labelled.txt"), "test").label(index) for index in (0, 6)] == [0, 1]
    done = onnxq_command("eval", small_model, small_model, "--data", pictures)
    assert done.exit_code == 0 and "inf" in done.output and "top-1" not in done.output
    done = onnxq_command("eval", small_model, "--data", tmp_path / "labelled.txt")
    assert done.exit_code == 0 and "top-1" in done.output
    done = onnxq_command("eval", small_model, "--data", pictures, "--metric", "classification")
    assert "needs labels, which this data has not" in str(done.exception)


@pytest.mark.parametrize(
    ("json_in", "images_in"),
    [(".", "."), (".", "images"), (".", "val"), ("annotations", "val"), ("annotations", "images"),
     ("annotations", "images/val")],
)  # fmt: skip
def test_where_images_of_a_coco_json_may_be(tmp_path, json_in, images_in):
    for folder in (json_in, images_in):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(tmp_path / images_in / "x.png")
    listed = tmp_path / json_in / "boxes_val.json"
    listed.write_text(json.dumps({"images": [{"file_name": "x.png"}]}))
    assert open_dataset(str(listed), "test").image(0).size == (4, 4)


def test_what_cannot_be_read(tmp_path, pictures):
    cases = {
        "empty.txt": ("", "no images in it"),
        "missing.txt": ("nowhere.png\n", "nowhere.png is not there"),
        "bad.yaml": ("train: {a: 1}\n", "`train` must be a folder of images"),
        "worse.yaml": ("a: [", "not YAML"),
        "bad.json": ("{}", "not a COCO json"),
        "lost.json": ('{"images": [{"file_name": "x.png"}]}', "its images are in none of"),
    }
    for name, (text, said) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(OnnxqError, match=said):
            open_dataset(str(tmp_path / name), "calib")
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    (tmp_path / "m.py").write_text("def fails():\n    yield 1 / 0\n\nvalue = 3\n")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    for data, said in (
        (tmp_path / "bad.npy", "not an .npy file, or a damaged one"),
        (f"{tmp_path / 'm.py'}:value", "has no function value"),
        (f"{tmp_path / 'no.py'}:f", "no such file"),
        (f"{tmp_path / 'broken.py'}:f", "ModuleNotFoundError"),
        (f"{tmp_path / 'm.py'}:fails", "ZeroDivisionError: division by zero"),
    ):
        with pytest.raises(OnnxqError, match=said):
            source = open_feeds(str(data))
            assert source is not None
            list(FeedLoader(source, range(len(source)), 16))
    assert open_feeds(str(pictures)) is None


def test_sequences_of_different_lengths_are_no_channels(random, tmp_path):
    """[N, T, C] from lines of text, say: statistics of batches of several lengths merge."""
    model = parse(
        """s (float[n,3,t] x) => (float[n,t,5] y) { c = Conv <pads = [1,1]> (x, w)  r = Relu(c)
            p = Transpose <perm = [0,2,1]> (r)  y = MatMul(p, v) }""",
        {"w": random.normal(size=(4, 3, 3)).astype(np.float32), "v": random.normal(size=(4, 5)).astype(np.float32)},
    )
    batches = [random.normal(size=(8, 3, length)).astype(np.float32) for length in (7, 12, 9)]
    for points in ("inputs", "integer"):
        statistics = onnxq.calibrate(model, batches, points=points, moving_percentile=99, batch_averages=True)
        assert statistics.merge(
            onnxq.calibrate(model, batches[:1], points=points, moving_percentile=99, batch_averages=True)
        )
    for options in ({"weight_bits": 8}, {"weight_bits": 7, "target": "onnxruntime"}):  # at 8 old processors saturate
        result = onnxq.quantize(model, None, onnxq.Recipe.of(act_bits=8, **options), images=batches)
        want, got = (run(each, {"x": batches[1]}, native=None)[0] for each in (model, result.model))
        assert np.square(want - got).sum() < 0.003 * np.square(want).sum()
        assert result.share == 1


def test_a_metric_of_ones_own(two_inputs, random, tmp_path):
    folder = tmp_path / "arrays"
    folder.mkdir()
    batches = [feeds(random, count) for count in (1, 3)]
    for number, batch in enumerate(batches):
        np.savez(folder / f"{number}.npz", **batch)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from dataclasses import dataclass\n"
        "from onnxq.evaluation import Metric\n"
        "def top(outputs, labels):\n    return {'top': outputs[0].max(axis=1).mean(), 'label': labels.mean()}\n"
        "def one(outputs, labels):\n    return 1\n"
        "def fails(outputs, labels):\n    return outputs[7]\n"
        "@dataclass\nclass Counts(Metric):\n"
        "    columns = {'batches': 'd'}\n    batches: int = 0\n"
        "    def update(self, outputs, reference, target):\n        self.batches += 1\n"
        "    def result(self):\n        return {'batches': self.batches}\n"
    )
    metrics = [part for name in ("top", "one", "Counts") for part in ("--metric", f"{tmp_path / 'mine.py'}:{name}")]
    done = onnxq_command("eval", two_inputs, "--data", folder, *metrics, "--json", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    (report,) = json.loads((tmp_path / "r.json").read_text())["models"]
    model = onnx.load(two_inputs)
    tops = [run(model, batch, native=None)[0].max(axis=1) for batch in batches]
    assert report["top"] == pytest.approx(np.concatenate(tops).mean(), rel=1e-5)
    assert (report["label"], report["one"], report["batches"]) == (-1, 1, 2)
    for _ in range(2):
        done = onnxq_command("eval", two_inputs, "--data", folder, *metrics, "--csv", tmp_path / "t.csv")
        assert done.exit_code == 0, done.output
    (tmp_path / "other.py").write_text("def one(outputs, labels):\n    return 2\n")
    twice = ["--metric", f"{tmp_path / 'other.py'}:one", "--metric", f"{tmp_path / 'mine.py'}:one"]
    done = onnxq_command("eval", two_inputs, "--data", folder, *twice)
    assert "two metrics say 'one'" in str(done.exception)
    done = onnxq_command("eval", two_inputs, "--data", folder, "--metric", f"{tmp_path / 'mine.py'}:fails")
    assert "fails: IndexError" in str(done.exception)
    done = onnxq_command("eval", two_inputs, "--data", folder, "--metric", "mAP")
    assert "no metric 'mAP'; use one of" in str(done.exception)
