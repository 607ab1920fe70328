"""How images become inputs, and how a model says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import small_network
from PIL import Image

from onnxq.data.preprocessing import Preprocessing
from onnxq.data.presets import PRESETS
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import fingerprint, load_model, metadata
from onnxq_cli.main import _group


def ready(preprocessing, image):
    pixels = preprocessing.pixels(image)
    out = np.empty((pixels.shape[2], *pixels.shape[:2]), np.float32)
    preprocessing.normalize(pixels, out)
    return out


def picture(width, height, colour=(10, 20, 30)):
    return Image.new("RGB", (width, height), colour)


def test_letterbox_keeps_the_whole_image_in_the_middle_of_grey():
    x = ready(
        Preprocessing((3, 60, 80), (60, 80), None, (0.0,) * 3, (1.0,) * 3, fit="letterbox", scale=1.0), picture(40, 60)
    )
    assert x.shape == (3, 60, 80) and x[0, 30, 40] == 10 and x[2, 30, 40] == 30
    assert (x[:, :, :20] == 114).all() and (x[:, :, 60:] == 114).all() and (x[0, :, 20:60] == 10).all()


def test_stretch_height_and_order_of_channels():
    stretched = Preprocessing((3, 8, 20), (8, 20), None, (0.5,) * 3, (0.5,) * 3, fit="stretch", color="bgr")
    x = ready(stretched, picture(30, 30))
    assert x.shape == (3, 8, 20)
    np.testing.assert_allclose(x[:, 0, 0], (np.float32([30, 20, 10]) / 255 - 0.5) / 0.5, rtol=1e-6)
    assert ready(PRESETS["paddleocr-rec"], picture(100, 30)).shape == (3, 48, 160)


def test_what_was_known_is_as_it_was():
    """The texts of the first version stay; new ones are written where they say something."""
    assert set(Preprocessing().to_metadata()) == {"input_size", "resize", "crop", "mean", "std", "interpolation"}
    for preset in PRESETS.values():
        assert Preprocessing.from_metadata(preset.to_metadata()) == preset
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (40, 30, 3), np.uint8))
    x = ready(Preprocessing((3, 16, 16), 20, 16), image)
    want = image.resize((20, 26), Image.Resampling.BILINEAR).crop((2, 5, 18, 21))
    np.testing.assert_array_equal(
        x[0], (np.float32(np.asarray(want)[..., 0]) / 255 - np.float32(0.485)) / np.float32(0.229)
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fit": "crop"}, "`fit`: no 'crop'"),
        ({"color": "hsv"}, "`color`: no 'hsv'"),
        ({"layout": "chwn"}, "`layout`: no 'chwn'"),
        ({"scale": 0.0}, "`scale` must lie between"),
        ({"resize": (1, 2, 3)}, "`resize` must be one number"),
        ({"interpolation": "cubic"}, "`interpolation`: no 'cubic'"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, said):
    with pytest.raises(OnnxqError, match=said):
        Preprocessing(**fields).checked()


def command(*arguments):
    return CliRunner().invoke(_group, [str(argument) for argument in arguments])


def test_a_model_that_says_how(tmp_path):
    model = small_network()
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "m.onnx")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        picture(20, 10).save(folder / f"{number}.png")
    done = command("preprocess", tmp_path / "m.onnx")
    assert "does not say how" in done.output
    done = command("eval", tmp_path / "m.onnx", "--data", folder)
    assert "let `onnxq preprocess` say it" in done.output
    options = [
        "--fit",
        "letterbox",
        "--mean",
        0,
        "--std",
        "1/2",
        "--scale",
        "1/127.5",
        "--color",
        "bgr",
    ]
    done = command("preprocess", tmp_path / "m.onnx", *options, "-o", tmp_path / "r.onnx")
    assert done.exit_code == 0, done.output
    said = Preprocessing.from_metadata(metadata(load_model(tmp_path / "r.onnx")))
    assert said == Preprocessing(
        (3, 8, 8), (8, 8), None, (0.0,) * 3, (0.5,) * 3, "bilinear", "letterbox", 1 / 127.5, "bgr"
    )
    assert fingerprint(load_model(tmp_path / "r.onnx")) == fingerprint(model)  # statistics of the one are of the other
    assert command("eval", tmp_path / "r.onnx", tmp_path / "m.onnx", "--data", folder).exit_code == 0
    assert "letterbox" in command("preprocess", tmp_path / "r.onnx").output
    wrong: list[tuple[list[Any], str]] = [
        (["--preset", "yolo"], "-o FILE is missing"),
        (["--resize", "big", "-o", tmp_path / "x"], "--resize big: a number of pixels"),
        (["--scale", "1/0", "-o", tmp_path / "x"], "one over another"),
        (["--mean", "1,2", "-o", tmp_path / "x"], "does not fit together"),
        (["-o", tmp_path / "m.onnx"], "it is an input, too"),
        (["-o", tmp_path / "x"], "takes images of 8x8 pixels, these would be 224x224"),
        (["--resize", 8, "--crop", 6, "-o", tmp_path / "x"], "these would be 6x6: mend --resize, --crop"),
        (["--fit", "letterbox", "--resize", 640, "-o", tmp_path / "x"], "these would be 640x640"),
        (["--resize", "8x8", "--crop", "none", "-o", tmp_path / "x"], "only their short side is said"),
    ]
    for options, said_wrong in wrong:
        done = command("preprocess", tmp_path / "m.onnx", *options)
        assert done.exit_code != 0 and said_wrong in done.output + str(done.exception), options


@pytest.mark.parametrize(
    ("size", "options", "refused"),
    [
        ((48, 320), "--fit height --resize 48", None),
        ((48, 320), "--fit height --resize 32", "these would be 32xany"),
        ((48, None), "--fit height --resize 32", "takes images of 48xany pixels"),
        ((48, None), "--fit height --resize 48", None),
        ((224, 224), "--fit stretch --resize 256 --crop 224", None),
        ((224, 224), "--preset cifar", None),
        ((224, None), "--crop 96", "these would be 96x96"),
        ((256, 128), "", "mend --resize, --crop or --fit"),
        ((256, 128), "--fit stretch", None),
        ((256, 128), "--fit letterbox --resize 256x128", None),
        ((None, None), "--crop 96", None),
    ],
)
def test_sizes_that_a_model_takes(tmp_path, size, options, refused):
    model = small_network()
    for place, value in zip((2, 3), size, strict=True):
        dim = model.graph.input[0].type.tensor_type.shape.dim[place]
        dim.CopyFrom(onnx.TensorShapeProto.Dimension(dim_value=value) if value else type(dim)(dim_param="s"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "m.onnx")
    done = command("preprocess", tmp_path / "m.onnx", *options.split(), "-o", tmp_path / "r.onnx")
    if refused is None:
        assert done.exit_code == 0, done.exception
    else:
        assert refused in str(done.exception)


def test_what_a_model_fixes_is_taken(tmp_path):
    assert PRESETS["yolo"].for_shape([None, 3, 416, 320]).resize == (416, 320)
    assert PRESETS["paddleocr-rec"].for_shape([None, 3, 48, None]).fit == "height"
    fixed = PRESETS["paddleocr-rec"].for_shape([None, 3, 48, 320])
    assert ready(fixed, picture(100, 30)).shape == (3, 48, 320)
    model = small_network()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    onnx.save(model, tmp_path / "grey.onnx")
    done = command(
        "preprocess", tmp_path / "grey.onnx", "--preset", "timm", "--resize", 8, "--crop", 8, "-o", tmp_path / "g.onnx"
    )
    assert done.exit_code == 0, done.output
    said = Preprocessing.from_metadata(metadata(load_model(tmp_path / "g.onnx")))
    assert said is not None and said.input_size == (1, 8, 8) and said.mean == (0.5,)


@pytest.mark.parametrize("data", ["pictures", "array.npy"])
def test_a_batch_that_a_model_fixes_is_made(tmp_path, data):
    model = small_network()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, tmp_path / "three.onnx")
    (tmp_path / "pictures").mkdir()
    for number in range(7 if data == "pictures" else 6):
        picture(8, 8).save(tmp_path / "pictures" / f"{number}.png")
    np.save(tmp_path / "array.npy", np.zeros((6, 3, 8, 8), np.float32))
    onnx.save(small_network(), tmp_path / "free.onnx")
    for models in (["three.onnx"], ["free.onnx", "three.onnx"]):
        done = command("eval", *(tmp_path / model for model in models), "--data", tmp_path / data)
        assert done.exit_code == 0 and "6 " in done.output, done.exception
        assert ("1 images left out" in done.output) == (data == "pictures")
    done = command("eval", tmp_path / "three.onnx", "--data", tmp_path / data, "--batch-size", 2)
    assert "takes exactly 3 images" in str(done.exception)


def test_models_of_other_tools_that_say_it_in_capitals():
    said = {**Preprocessing().to_metadata(), "color": "RGB", "layout": "NCHW"}
    assert Preprocessing.from_metadata(said) == Preprocessing()


def test_channels_last(tmp_path, random):
    """A network that reads [N, H, W, C], as those of TensorFlow do."""
    from onnxq.data.datasets import open_dataset
    from onnxq.data.loader import Loader

    folder = tmp_path / "pictures"
    folder.mkdir()
    picture(8, 6).save(folder / "a.png")
    last = Preprocessing((3, 6, 8), None, None, (0.0,) * 3, (1.0,) * 3, scale=1.0, layout="nhwc")
    (batch,) = Loader(open_dataset(str(folder), "test"), last, [0])
    assert batch.images.shape == (1, 6, 8, 3) and batch.images[0, 0, 0].tolist() == [10, 20, 30]
    assert batch.labels is None
