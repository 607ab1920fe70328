"""Mean average precision: annotations, the ways of writing boxes, and a network that runs on files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from cli.test_cli import onnxq as command
from click.testing import CliRunner
from helpers import parse
from PIL import Image

from onnxq.data.annotations.boxes import Boxes, open_boxes
from onnxq.data.fitting import Placed
from onnxq.data.loader import Loader, choose
from onnxq.data.presets import PRESETS
from onnxq.errors import OnnxqError
from onnxq.evaluation import METRICS
from onnxq.evaluation.decoding import DECODERS, fitting_decoders
from onnxq.evaluation.evaluate import evaluate
from onnxq.graph.model_files import save_model, set_metadata
from onnxq_cli.eval import command as eval_command

FRAME = (64, 64)
BOX = np.array([[10.0, 20, 40, 60]])


def truth(corners, classes, ids=None):
    classes = np.array(classes, np.int64)
    ids = classes if ids is None else np.array(ids, np.int64)
    corners = np.array(corners, np.float64).reshape(-1, 4)
    return Boxes(corners, classes, ids, np.zeros(len(classes), bool), FRAME, np.array([0.0, 0, 64, 64]))


def precision(found, true, decode="end2end"):
    metric = METRICS.parse({"detection": {"decode": decode}})
    metric.start({})
    metric.update([np.array([found], np.float32)], [], (true,))
    return metric.result()


def test_average_precision_of_known_overlaps():
    # A box that is 0.72 of the true one, of which it is a part: five of the ten overlaps, 0.5 to 0.7.
    part = [10, 20, 10 + 30 * 0.72, 60, 0.9, 1]
    assert precision([part], truth(BOX, [1]))["mAP"] == pytest.approx(50)
    assert precision([part], truth(BOX, [1]))["mAP50"] == pytest.approx(100)
    assert precision([part], truth(BOX, [0]))["mAP50"] == 0  # of another class
    # One of two is found: precision 1 up to a recall of a half, at 101 places.
    two = truth([BOX[0], [0, 0, 8, 8]], [1, 1])
    assert precision([[*BOX[0], 0.9, 1]], two)["mAP"] == pytest.approx(100 * 51 / 101)
    # A better one that is wrong halves precision.
    assert precision([[0, 0, 5, 5, 0.95, 1], [*BOX[0], 0.9, 1]], truth(BOX, [1]))["mAP"] == pytest.approx(50)


def test_nothing_annotated_is_no_zero():
    assert np.isnan(precision([[*BOX[0], 0.9, 1]], truth(np.zeros((0, 4)), []))["mAP"])


def written(way):
    """One box of class 1 of two, score 0.9, beside others of low scores, written in a way."""
    centre = np.array([25.0, 40, 30, 40])
    if way == "end2end":
        return np.float32([[[*BOX[0], 0.9, 1]]])
    if way == "yolov8":
        columns = np.full((6, 84), 1e-5, np.float32)
        columns[:4, 3], columns[5, 3] = centre, 0.9
        return columns[None]
    rows = np.full((84, 7), 1e-5, np.float32)
    rows[5] = [*centre, 1, 0, 0.9]
    if way == "yolox":  # cells of 64 + 16 + 4; the box is in that of row 5, column 3 of the first
        rows[:, :4] = -1
        rows[5] = 1e-5
        rows[5 * 8 + 3] = [25 / 8 - 3, 40 / 8 - 5, np.log(30 / 8), np.log(40 / 8), 1, 0, 0.9]
    return rows[None]


@pytest.mark.parametrize("way", ["end2end", "yolov8", "yolo", "yolox"])
def test_ways_of_writing_boxes(way):
    outputs = [written(way)]
    frame = (96, 64) if way == "yolo" else FRAME
    assert fitting_decoders(outputs, frame, {})[0] == way
    (found,) = DECODERS[way].decode(outputs, FRAME, {})
    np.testing.assert_allclose(found.corners, BOX, rtol=1e-5)
    assert found.classes.tolist() == [1]
    assert found.scores == pytest.approx([0.9])


def test_values_tell_what_shapes_do_not():
    """Boxes of cells that were decoded already, and more than a few that were chosen."""
    decoded = np.abs(written("yolox"))
    assert fitting_decoders([decoded], FRAME, {}) == ["yolo", "yolox"]
    chosen = np.zeros((1, 1000, 6), np.float32)
    chosen[..., 5] = 3
    assert fitting_decoders([chosen], FRAME, {})[0] == "end2end"
    masks = [np.zeros((1, 4 + 3 + 32, 84), np.float32), np.zeros((1, 32, 16, 16), np.float32)]
    masks[0][0, :4, 3], masks[0][0, 5, 3], masks[0][0, 9] = [25, 40, 30, 40], 0.9, 1
    assert fitting_decoders(masks, FRAME, {})[0] == "yolov8"
    (found,) = DECODERS["yolov8"].decode(masks, FRAME, {})
    assert found.classes.tolist() == [1]


def test_so_many_boxes_take_no_minutes(random):
    noise = random.random((1, 84, 8400)).astype(np.float32)
    noise[:, :4] *= 600
    assert len(DECODERS["yolov8"].decode([noise], (640, 640), {})[0].scores) == 300


def test_what_is_found_ends_with_the_image():
    over = [-60, 20, 40, 60, 0.9, 1]
    assert precision([over], truth([[0, 20, 40, 60]], [1]))["mAP"] == pytest.approx(100)
    assert np.isnan(precision([[5, 5, 1, 1, 0.9, 1], [float("nan")] * 6], truth(np.zeros((0, 4)), []))["mAP"])


@pytest.mark.parametrize(
    "found", [([[0, 0, 1, 1]], [[0.5]], [1]), ([[0, 0, 1, 1]], [0.5, 0.4], [1]), ([[0, 0, 1, 1]], [0.5], 1)]
)
def test_what_own_decoders_return_is_checked(tmp_path, found):
    (tmp_path / "mine.py").write_text(f"def boxes(outputs, frame):\n    return [{found!r}]\n")
    metric = METRICS.parse({"detection": {"decode": f"{tmp_path / 'mine.py'}:boxes"}})
    metric.start({})
    with pytest.raises(OnnxqError, match=r"`decode`.*must be \[n, 4\], \[n\] and \[n\]"):
        metric.update([np.zeros((1, 1, 6))], [], (truth(BOX, [1]),))


@pytest.mark.parametrize("way", [*DECODERS])
def test_a_decoder_that_does_not_fit_is_said(way):
    metric = METRICS.parse({"detection": {"decode": way}})
    metric.start({})
    with pytest.raises(OnnxqError, match="are not written as `decode`"):
        metric.update([np.zeros((1, 5))], [], (truth(BOX, [1]),))


def test_overlapping_boxes_of_a_class_are_one():
    rows = np.zeros((1, 9, 7), np.float32)
    rows[0, 0] = [25, 40, 30, 40, 1, 0, 0.9]
    rows[0, 1] = [26, 40, 30, 40, 1, 0, 0.8]
    rows[0, 2] = [26, 40, 30, 40, 1, 0.7, 0]
    (found,) = DECODERS["yolo"].decode([rows], FRAME, {})
    assert sorted(zip(found.classes.tolist(), found.scores.tolist(), strict=True)) == [
        (0, pytest.approx(0.7)),
        (1, pytest.approx(0.9)),
    ]


@pytest.mark.parametrize("arch", ["ssdlite320_mobilenet_v3_large", "fcos_resnet50_fpn"])
def test_torchvision_finds_the_same_boxes_of_its_scores(arch):
    import torch
    from torchvision.models import get_model

    from onnxq.export.dense import AnchorScores

    torch.manual_seed(0)
    detector = get_model(arch, weights=None, weights_backbone=None, num_classes=5).eval()
    x = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        maps = detector.backbone(x)
        maps = list(maps.values())
        head = AnchorScores(detector)(x)
        from torchvision.models.detection.image_list import ImageList

        anchors = detector.anchor_generator(ImageList(x, [(128, 128)] * 2), maps)
        names = dict(zip(("cls_logits", "bbox_regression", "bbox_ctrness"), head, strict=False))
        if arch.startswith("fcos"):
            counts = [m.shape[-1] * m.shape[-2] for m in maps]
            names = {name: list(value.split(counts, dim=1)) for name, value in names.items()}
            anchors = [list(a.split(counts)) for a in anchors]
        wanted = detector.postprocess_detections(names, anchors, [(128, 128)] * 2)
    outputs = [value.numpy() for value in head]
    facts = {"detector": arch}
    assert fitting_decoders(outputs, (128, 128), facts)[0] == "torchvision"
    found = DECODERS["torchvision"].decode(outputs, (128, 128), facts)
    for own, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own.corners, theirs["boxes"].numpy(), rtol=1e-5)
        assert own.classes.tolist() == theirs["labels"].tolist()


def coco(folder, count=20, size=(100, 50), number=7):
    """Pictures with a red box on grey, and where it is."""
    images, annotations = [], []
    for index in range(count):
        pixels = np.full((size[1], size[0], 3), 100, np.uint8)
        pixels[10:40, 20:60] = [220, 30, 30]
        Image.fromarray(pixels).save(folder / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": size[0], "height": size[1]})
        annotations.append({"id": index, "image_id": index, "category_id": number, "bbox": [20, 10, 40, 30]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3}, {"id": number}]}
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder / "boxes.json"


def test_corners_in_the_place_of_sizes_are_said(tmp_path):
    """As many tools have them: left, top, right and bottom."""
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    for each in content["annotations"]:
        each["bbox"] = [50, 10, 90, 40]
    path.write_text(json.dumps(content))
    with pytest.raises(OnnxqError, match=r"boxes leave their images; a `bbox` is \[left, top, width, height\]"):
        open_boxes(str(path), "test")
    path.write_text("[]")
    with pytest.raises(OnnxqError, match="not a COCO json with boxes"):
        open_boxes(str(path), "test")


def test_boxes_follow_the_picture(tmp_path):
    data: Any = open_boxes(str(coco(tmp_path)), "test")
    box = data.truth(0, PRESETS["yolo"].for_shape([1, 3, 200, 200]))  # doubled; 50 rows of grey above
    assert box.corners.tolist() == [[40, 70, 120, 130]]
    assert (box.classes.tolist(), box.ids.tolist(), box.frame) == ([1], [7], (200, 200))
    corner = data.truth(0, PRESETS["yolox"].for_shape([1, 3, 200, 200]))  # YOLOX has no grey above
    assert corner.corners.tolist() == [[40, 20, 120, 80]] and corner.bounds.tolist() == [0, 0, 200, 100]
    stretched = data.truth(0, PRESETS["paddleocr-det"].for_shape([1, 3, 100, 100]))
    assert stretched.corners.tolist() == [[20, 20, 60, 80]]
    cut = PRESETS["demo-32"]  # the short side to 32, the middle: columns 34 to 66 of 64, and nothing of what is outside
    assert cut.placed((50, 100)) == Placed((32, 64), (0, -16), (32, 32))
    assert data.truth(0, cut).corners == pytest.approx(np.array([[0, 6.4, 22.4, 25.6]]))


def yolo(folder):
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for index in range(2):
        Image.new("RGB", (100, 50)).save(folder / "images" / f"{index}.jpg")
    (folder / "labels" / "0.txt").write_text("2 0.4 0.5 0.4 0.6\n\n0 0.5 0.5 1 1\n")
    (folder / "data.yaml").write_text("train: images\nval: images\n")
    return folder / "data.yaml"


def test_yolo_labels(tmp_path):
    data: Any = open_boxes(str(yolo(tmp_path)), "test")
    found = data.truth(0, PRESETS["yolo"].for_shape([1, 3, 100, 100]))
    assert found.classes.tolist() == [2, 0]
    np.testing.assert_allclose(found.corners, [[20, 35, 60, 65], [0, 25, 100, 75]])
    assert len(data.truth(1, PRESETS["yolo"]).classes) == 0  # no file: nothing on it
    for line in ("2 0.4 0.5 0.4", "0 50 25 10 10", "300000000 .5 .5 .1 .1", "0 .5 .5 -.1 .1"):
        (tmp_path / "labels" / "0.txt").write_text(line + "\n")
        with pytest.raises(OnnxqError, match="line 1: expected a class and a box"):
            open_boxes(str(tmp_path / "data.yaml"), "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), "'categories' is missing"),
        (lambda c: c["annotations"][0].update(category_id=99), "category 99"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, float("nan"), 4]), "has the number nan"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2]), "not a COCO json with boxes"),
        (lambda c: c["annotations"][0].update(bbox="1234"), "not a list"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), "the size -3 x 4"),
        (lambda c: c["annotations"][0].update(iscrowd="0"), "`iscrowd` is '0'"),
        (lambda c: c["images"][0].update(id=1), "two images have the same `id`"),
        (lambda c: c["categories"][0].update(id=10**30), "numbers of categories are"),
        (lambda c: c["annotations"][0].update(image_id=77), "77 is missing"),
    ],
)
def test_damaged_annotations(tmp_path, change, message):
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(OnnxqError, match=message):
        open_boxes(str(path), "test")


def test_boxes_of_an_image_of_another_size_are_refused(tmp_path):
    path = coco(tmp_path)
    Image.new("RGB", (50, 100)).save(tmp_path / "0.png")
    with pytest.raises(OnnxqError, match=r"0.png: an image of 50 x 100 pixels; its boxes are of one of 100 x 50"):
        open_boxes(str(path), "test").truth(0, PRESETS["yolo"])


def detector(folder, box=(40.0, 70, 120, 130)):
    """A file that finds its box where there is more red than blue, and otherwise nothing: class 1 of two."""
    model = parse(
        """
        detector (float[N, 3, 200, 200] image) => (float[N, 1, 6] found) {
            mean = ReduceMean <keepdims = 0> (image, axes)
            red = Gather <axis = 1> (mean, zero)
            blue = Gather <axis = 1> (mean, two)
            more = Sub (red, blue)
            score = Relu (more)
            scaled = Mul (score, factors)
            rows = Add (scaled, box)
            found = Reshape (rows, shape)
        }
        """,
        {
            "axes": np.array([2, 3]),
            "zero": np.array([0]),
            "two": np.array([2]),
            "factors": np.float32([[0, 0, 0, 0, 1, 0]]),
            "box": np.float32([[*box, 0, 1]]),
            "shape": np.array([-1, 1, 6]),
        },
    )
    set_metadata(model, PRESETS["yolo"].for_shape([1, 3, 200, 200]).to_metadata())
    save_model(model, folder / "detector.onnx")
    return folder / "detector.onnx"


def test_eval_of_a_detector(tmp_path):
    data, model = coco(tmp_path), detector(tmp_path)
    said, _ = command("eval", model, model, "--data", data, "--task", "detection", "--json", tmp_path / "out.json")
    assert "mAP50 %" in said
    (first, _) = json.loads((tmp_path / "out.json").read_text())["models"]
    assert (first["mAP"], first["boxes"]) == (pytest.approx(100), 20)
    loader = Loader(open_boxes(str(data), "test"), PRESETS["yolo"].for_shape([1, 3, 200, 200]), choose(20, None))
    assert evaluate([model], loader, metrics=["detection"])[0].values["mAP"] == pytest.approx(100)
    with pytest.raises(OnnxqError, match="needs labels, which this data has not"):
        evaluate([model], loader)
    (tmp_path / "mine.py").write_text(
        "def boxes(outputs, frame):\n    return [(each[:, :4], each[:, 4], each[:, 5]) for each in outputs[0]]\n"
    )
    own = f"{tmp_path / 'mine.py'}:boxes"
    assert "100.00" in command("eval", model, "--data", data, "--task", "detection", "--decode", own)[0]


def test_a_network_that_does_not_work_is_said_so(tmp_path):
    data, model = coco(tmp_path), detector(tmp_path)
    bgr = onnx.load(model)
    set_metadata(bgr, {"color": "bgr"})
    save_model(bgr, tmp_path / "bgr.onnx")
    asked = ("--data", data, "--task", "detection")
    _, error = command("eval", tmp_path / "bgr.onnx", *asked, ok=False)
    assert "mAP50 is 0.0 % on 20 images" in error
    assert f"with --color rgb it is 100.0 %: `onnxq preprocess {tmp_path / 'bgr.onnx'} --color rgb -o FILE`" in error
    _, warning = command("eval", model, tmp_path / "bgr.onnx", *asked)
    assert "wants other preprocessing" in warning
    command("eval", tmp_path / "bgr.onnx", *asked, "-n", 3)  # too few to say so
    command("eval", tmp_path / "bgr.onnx", *asked, "--anyway")
    coco(tmp_path, number=1)  # now class 0 of two
    _, error = command("eval", model, *asked, ok=False)
    assert "boxes are right (100 % whatever the class): are classes numbered otherwise?" in error
    _, error = command("eval", detector(tmp_path, box=(0, 0, 9, 9)), *asked, ok=False)
    assert "its outputs were read as end2end: is that so" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "detection", "--decode", "yolo9000"], "no --decode 'yolo9000'"),
        (["--metric", "detection"], "needs boxes, which this data has not: give --task"),
    ],
)
def test_wrong_options(tmp_path, arguments, message):
    _, error = command("eval", detector(tmp_path), "--data", coco(tmp_path), *arguments, ok=False)
    assert message in error


def test_options_of_other_tasks(tmp_path):
    asked = [str(detector(tmp_path)), "--data", str(coco(tmp_path)), "--task", "detection", "--characters", "x"]
    done = CliRunner().invoke(eval_command, asked)
    assert done.exit_code == 2 and "--characters goes with the metric ocr" in done.output


def test_data_without_boxes(tmp_path):
    model = detector(tmp_path)
    _, error = command("eval", model, "--data", tmp_path, "--task", "detection", ok=False)
    assert "boxes are read from a COCO .json" in error
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"] = []
    path.write_text(json.dumps(content))
    assert "nothing is annotated" in command("eval", model, "--data", path, "--task", "detection", ok=False)[1]
