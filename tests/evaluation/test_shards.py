"""Data in parts: counts and statistics add up to what one pass says, wherever the parts are; on a local Ray cluster,
one of whose workers is killed."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from cli.test_cli import onnxq as command
from search.test_sweep import KILLER

import onnxq
from onnxq.core.statistics import Statistics
from onnxq.data.annotations.boxes import Boxes
from onnxq.data.annotations.masks import Mask
from onnxq.data.annotations.text import Line
from onnxq.data.feeds import FeedLoader, open_feeds
from onnxq.data.loader import Loader
from onnxq.data.shards import shards
from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics import METRICS
from onnxq.evaluation.shards import check_adds_up, counted, together
from onnxq.graph.model_files import metadata


@pytest.fixture
def loader(small_model, small_data):
    preprocessing = onnxq.Preprocessing.from_metadata(metadata(onnx.load(small_model)))
    return Loader(onnxq.open_dataset(str(small_data), "test"), preprocessing, range(20), 3)


@pytest.fixture
def other(tmp_path, loader, small_model):
    result = onnxq.quantize(small_model, None, onnxq.Recipe.of(weight_bits=2, act_bits=4), images=loader.images)
    onnxq.save_model(result.model, tmp_path / "q.onnx")
    return tmp_path / "q.onnx"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_parts_have_the_batches_of_the_whole(loader, count):
    parts = shards(loader, count)
    assert len(parts) == min(count, 7)
    batches = [batch.labels.tolist() for part in parts for batch in part]
    assert batches == [batch.labels.tolist() for batch in loader]
    assert all(len(part) for part in parts)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_counts_add_up(loader, small_model, other, count):
    metrics = ("classification", "agreement", "distance")
    paths = [small_model, other]
    parts = [counted(paths, part, metrics, "cpu") for part in shards(loader, count)]
    whole = onnxq.evaluate(paths, loader, metrics=metrics)
    for one, two in zip(together(paths, parts, metrics), whole, strict=True):
        assert one.images == two.images == 20 and one.size == two.size
        assert one.values.keys() == two.values.keys()
        for name, value in one.values.items():
            assert value == pytest.approx(two.values[name], rel=1e-12), name


def test_every_metric_adds_up():
    check_adds_up(("classification", "agreement", "distance", "detection", "segmentation", "ocr"))


def box(corners, kind):
    numbers = np.array([kind], np.int64)
    whole = np.array([0.0, 0, 64, 64])
    return Boxes(np.array([corners], np.float64), numbers, numbers, np.zeros(1, bool), (64, 64), whole)


def test_boxes_and_masks_and_texts_add_up(random):
    """Counted in parts of two, three and one images, and at once."""
    boxes = [box([5 * n, 5, 5 * n + 20, 30], n % 2) for n in range(6)]
    found = np.zeros((6, 2, 6), np.float32)
    for n in range(6):
        found[n, 0] = [5 * n + n, 5, 5 * n + 20, 30, 0.9 - n / 10, n % 2]
        found[n, 1] = [1, 1, 4, 4, 0.5, 0]
    masks = [Mask(random.integers(0, 3, (4, 4)).astype(np.uint8)) for _ in range(6)]
    scores = random.normal(size=(6, 3, 4, 4)).astype(np.float32)
    steps = random.normal(size=(6, 7, 4)).astype(np.float32)
    for metric, outputs, targets in (
        ({"detection": {"decode": "end2end"}}, found, boxes),
        ("segmentation", scores, masks),
        ("ocr", steps, [Line("ab"), Line("a"), Line("b b"), Line(""), Line("bbb"), Line("ba")]),
    ):
        whole, sums = METRICS.parse(metric), METRICS.parse(metric)
        whole.start({"character": "a\nb"})
        whole.update([outputs], [outputs], tuple(targets))
        for start, end in ((0, 2), (2, 5), (5, 6)):
            part = METRICS.parse(metric)
            part.start({"character": "a\nb"})
            part.update([outputs[start:end]], [outputs[start:end]], tuple(targets[start:end]))
            sums.take_in(part.counted())
        assert sums.result() == whole.result()


def test_arrays_are_not_shared_out(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 8, 8), np.float32))
    feeds = FeedLoader.of(open_feeds(str(tmp_path / "x.npy")), None, 2)
    with pytest.raises(OnnxqError, match="not shared out"):
        shards(feeds, 2)


def same(one, other):
    assert one.fingerprint == other.fingerprint and one.images == other.images and one.origin == other.origin
    for name, tensor in one.tensors.items():
        for field in ("minimum", "maximum", "anchor", "histogram"):
            np.testing.assert_array_equal(getattr(tensor, field), getattr(other.tensors[name], field))
        for field in ("sum", "sum_squares"):
            np.testing.assert_allclose(getattr(tensor, field), getattr(other.tensors[name], field), rtol=1e-9)


@pytest.mark.slow
def test_on_two_workers_one_of_which_dies(small_model, small_data, other, tmp_path):
    """Calibration and evaluation: the same numbers as here, whoever is killed."""
    ray = pytest.importorskip("ray")
    (tmp_path / "mine.py").write_text(
        "def score(outputs, labels):\n    return {'first': float(outputs[0][:, 0].sum())}\n"
    )
    evaluate = ("eval", small_model, other, "--data", small_data, "--batch-size", 2)
    own = ("--metric", "classification", "--metric", "agreement", "--metric", f"{tmp_path / 'mine.py'}:score")
    calibrate = ("calibrate", small_model, "--data", small_data, "--batch-size", 2)
    command(*evaluate, *own, "--json", tmp_path / "here.json")
    command(*calibrate, "-o", tmp_path / "here.npz")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        killers = []
        for asked in ((*evaluate, *own, "--json", tmp_path / "there.json"), (*calibrate, "-o", tmp_path / "there.npz")):
            killers.append(subprocess.Popen([sys.executable, "-c", KILLER], stdout=subprocess.PIPE, text=True))
            command(*asked, "--engine", "ray", "--shards", 5)
        said = [killer.communicate(timeout=60)[0] for killer in killers]
    finally:
        ray.shutdown()
    assert all("killed" in each for each in said)
    one, two = (json.loads((tmp_path / name).read_text())["models"] for name in ("here.json", "there.json"))
    timed = ("seconds", "images_per_second")
    for here, there in zip(one, two, strict=True):
        assert {k: v for k, v in here.items() if k not in timed} == pytest.approx(
            {k: v for k, v in there.items() if k not in timed}
        )
    same(Statistics.load(tmp_path / "here.npz"), Statistics.load(tmp_path / "there.npz"))


def test_what_depends_on_order_is_not_shared_out(small_model, small_data, tmp_path):
    from click.testing import CliRunner

    from onnxq_cli.main import _group

    asked = ["calibrate", str(small_model), "--data", str(small_data), "-o", str(tmp_path / "s.npz")]
    done = CliRunner().invoke(_group, [*asked, "--engine", "ray", "--moving-percentile", "99"])
    assert done.exit_code == 2 and "order of batches" in done.output
    done = CliRunner().invoke(_group, [*asked, "--address", "here:1"])
    assert done.exit_code == 2 and "--engine ray" in done.output


def test_a_part_without_images_is_no_end(small_model, small_data, tmp_path):
    """All images of a part cannot be decoded: the others count."""
    for path in sorted(small_data.rglob("*.png"))[4:12]:
        path.write_bytes(b"no picture")
    asked = (
        small_model,
        "--data",
        small_data,
        "--batch-size",
        4,
        "--skip-bad-images",
        "--engine",
        "ray",
        "--shards",
        5,
    )
    here, _ = command("eval", *asked[:6])
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        there, told = command("eval", *asked)
        command("calibrate", *asked, "-o", tmp_path / "s.npz")
    finally:
        ray.shutdown()
    assert here.splitlines()[-1].split()[:3] == there.splitlines()[-1].split()[:3]
    assert "8 images left out" in told and Statistics.load(tmp_path / "s.npz").images == 12
