"""What is said of classifiers that do not work on the data."""

from __future__ import annotations

import numpy as np
import pytest
from cli.test_cli import onnxq as command
from helpers import parse
from PIL import Image

from onnxq.data.preprocessing import Preprocessing
from onnxq.graph.model_files import save_model, set_metadata

CLASSES = 20


@pytest.fixture
def data(tmp_path):
    """Twenty shades of red, five images each."""
    for shade in range(CLASSES):
        (tmp_path / "images" / f"{shade:02}").mkdir(parents=True)
        for index in range(5):
            image = Image.new("RGB", (8, 8), (shade * 12 + 6, 3, index))
            image.save(tmp_path / "images" / f"{shade:02}" / f"{index}.png")
    return tmp_path / "images"


def network(path, *, shift=0, **preprocessing):
    """Scores by the distance of red to each shade."""
    shades = np.float32([(shade * 12 + 6) / 255 for shade in range(CLASSES)])
    model = parse(
        """
        shades (float[N, 3, 8, 8] image) => (float[N, 20] scores) {
            mean = ReduceMean <keepdims = 0> (image, axes)
            red = Gather <axis = 1> (mean, zero)
            apart = Sub (red, shades)
            far = Abs (apart)
            scores = Neg (far)
        }
        """,
        {"axes": np.array([2, 3]), "zero": np.array([0]), "shades": np.roll(shades, shift)},
    )
    fields = {"mean": (0.0,) * 3, "std": (1.0,) * 3, **preprocessing}
    set_metadata(model, Preprocessing((3, 8, 8), None, None, **fields).to_metadata())
    save_model(model, path)
    return path


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"color": "bgr"}, "with --color rgb it is 100.0 %"),
        ({"scale": 1.0}, "with --scale 1/255 it is 100.0 %"),
        ({"mean": (5.0,) * 3}, "with --mean 0,0,0 --std 1,1,1 it is 100.0 %"),
        ({"shift": 1}, "with labels moved by 1 it is right on 95 %"),
        ({"shift": 7}, "are the classes in the order of the labels?"),
    ],
)
def test_what_is_wrong_is_found(tmp_path, data, made, said):
    model = network(tmp_path / "net.onnx", **made)
    _, error = command("eval", model, "--data", data, "--task", "classification", ok=False)
    assert "which a working network exceeds" in error
    assert said in error
    assert "(--anyway goes on all the same)" in error
    _, warning = command("eval", model, "--data", data)
    assert "--task classification looks for the reason" in warning


def test_what_is_said_helps(tmp_path, data):
    model = network(tmp_path / "net.onnx", color="bgr")
    _, error = command("eval", model, "--data", data, "--preset", "yolox", "--task", "classification", ok=False)
    assert "(--anyway goes on all the same, without --preset)" in error
    command("preprocess", model, "--color", "rgb", "-o", tmp_path / "mended.onnx")
    said, warning = command("eval", tmp_path / "mended.onnx", "--data", data, "--task", "classification")
    assert "100.00" in said and "guessing" not in warning
