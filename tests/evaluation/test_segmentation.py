"""Mean intersection over union: masks, outputs of several forms, and a network that runs on files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cli.test_cli import onnxq as command
from helpers import parse
from PIL import Image

from onnxq.data.annotations.masks import Mask, open_masks
from onnxq.data.preprocessing import Preprocessing
from onnxq.data.presets import PRESETS
from onnxq.errors import OnnxqError
from onnxq.evaluation import METRICS
from onnxq.graph.model_files import save_model, set_metadata

TRUE = np.uint8([[0, 0, 1, 1], [0, 0, 1, 255]])


def measured(output, mask=TRUE):
    metric = METRICS.parse("segmentation")
    metric.update([output], [output], (Mask(mask),))
    return metric


def scores(classes, count=3):
    return np.moveaxis(np.eye(count, dtype=np.float32)[classes], -1, 0)[None]


def test_intersection_over_union_of_known_masks():
    own = np.int64([[0, 0, 0, 1], [0, 0, 1, 1]])  # of class 0 4 of 5, of class 1 2 of 3; what is 255 does not count
    for output in (scores(own), own[None], own[None, None].astype(np.int32)):
        found = measured(output).result()
        assert found == {"mIoU": pytest.approx(100 * (4 / 5 + 2 / 3) / 2), "pixels": pytest.approx(100 * 6 / 7)}


def test_one_map_of_scores():
    own = np.float32([[0.1, 0.2, 0.9, 0.8], [0, 0.3, 0.7, 0]])
    assert measured(own[None, None]).result()["mIoU"] == 100
    assert measured(own[None, None] - 0.5).result()["mIoU"] == 100


def test_small_maps_are_made_larger():
    true = np.repeat(np.repeat(np.uint8([[0, 1], [2, 1]]), 8, axis=0), 8, axis=1)
    found = measured(scores(np.int64([[0, 1], [2, 1]])), true)
    assert found.result()["mIoU"] > 80


def test_scores_in_the_last_axis():
    assert measured(np.moveaxis(scores(TRUE % 3), 1, -1)).result()["mIoU"] == 100


def test_numbers_that_are_none_are_wrong():
    bad = scores(TRUE % 3)
    bad[:, :, 0] = np.nan
    assert measured(bad).result()["pixels"] == pytest.approx(100 * 3 / 7)
    assert measured(np.full((1, 2, 4), -1)).result() == {"mIoU": 0, "pixels": 0}


def test_one_class_everywhere_is_no_working_network():
    metric = measured(scores(TRUE * 0, count=21))
    assert metric.result()["mIoU"] == pytest.approx(100 * 4 / 7 / 2) and metric.result()["mIoU"] < metric.least()


def test_masks_of_0_and_255_are_refused():
    with pytest.raises(OnnxqError, match="the masks hold 0 and 255 alone"):
        measured(scores(TRUE * 0), np.uint8([[0, 0, 255, 255], [0, 0, 255, 255]])).result()


@pytest.mark.parametrize("output", [np.zeros((1, 5), np.float32), np.zeros((2, 3, 2, 4), np.float32)])
def test_other_outputs_are_said(output):
    with pytest.raises(OnnxqError, match="the first output has shape"):
        measured(output)


def test_classes_numbered_otherwise_by_one_are_said():
    metric = measured(scores(TRUE % 3 + 1, count=4), np.where(TRUE == 255, 0, TRUE).astype(np.uint8))
    assert metric.result()["mIoU"] < metric.least()
    assert "otherwise by one" in metric.suspicion()


def folder(tmp_path, count=20):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir(exist_ok=True)
    for index in range(count):
        pixels = np.full((20, 30, 3), 40, np.uint8)
        pixels[5:15, 10:20, 0] = 230
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
        mask = Image.fromarray((pixels[..., 0] > 100).astype(np.uint8)).convert("P")
        mask.save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


def test_masks_follow_the_picture(tmp_path):
    data: Any = open_masks(str(folder(tmp_path)), "test")
    assert data.truth(0, PRESETS["demo"]).classes.sum() == 100
    placed = data.truth(0, PRESETS["yolo"].for_shape([1, 3, 60, 60])).classes
    assert placed.shape == (60, 60)
    assert (placed[:10] == 255).all() and (placed == 1).sum() == 400
    outside = Preprocessing((3, 40, 40), None, 40)
    assert (data.truth(0, outside).classes == 255).sum() == 1600 - 600


def test_damaged_masks(tmp_path):
    folder(tmp_path)
    with pytest.raises(OnnxqError, match="folders `images` and `masks`"):
        open_masks(str(tmp_path / "images"), "test")
    mask = tmp_path / "masks" / "0.png"
    for made, message in (
        (Image.new("RGB", (30, 20)), "not RGB"),
        (Image.new("L", (30, 21)), "for an image of 30 x 20"),
    ):
        made.save(mask)
        with pytest.raises(OnnxqError, match=message):
            open_masks(str(tmp_path), "test").truth(0, PRESETS["demo"])
    mask.write_bytes(b"no image")
    with pytest.raises(OnnxqError, match="cannot be decoded"):
        open_masks(str(tmp_path), "test").truth(0, PRESETS["demo"])
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    with pytest.raises(OnnxqError, match="no mask"):
        open_masks(str(tmp_path), "test")


def test_eval_of_a_segmentation_network(tmp_path):
    model = parse(
        """
        segments (float[N, 3, H, W] image) => (float[N, 2, H, W] scores) { scores = Conv (image, weight, bias) }
        """,
        {
            "weight": np.float32([[0, 0, 0], [1, -1, 0]]).reshape(2, 3, 1, 1),
            "bias": np.float32([0.2, 0]),
        },
    )
    set_metadata(model, Preprocessing((3, 20, 30), None, None, (0.0,) * 3, (1.0,) * 3).to_metadata())
    save_model(model, tmp_path / "net.onnx")
    data = folder(tmp_path)
    said, _ = command("eval", tmp_path / "net.onnx", "--data", data, "--task", "segmentation")
    assert "mIoU %" in said and "100.00" in said
    set_metadata(model, {"color": "bgr"})
    save_model(model, tmp_path / "bgr.onnx")
    _, error = command("eval", tmp_path / "bgr.onnx", "--data", data, "--task", "segmentation", ok=False)
    assert "with --color rgb it is 100.0 %" in error
