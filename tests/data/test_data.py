"""Data sets, preprocessing and loading."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from onnxq.data.datasets import open_dataset
from onnxq.data.demo import drawings as demo
from onnxq.data.loader import Loader, choose
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError

PLAIN = Preprocessing((3, 8, 8), None, None, (0.0,) * 3, (1.0,) * 3)


def test_folder(small_data):
    dataset = open_dataset(str(small_data), "test")
    assert len(dataset) == 20
    assert [dataset.label(index) for index in (0, 4, 19)] == [0, 1, 4]


def test_folder_with_a_class_list(small_data, tmp_path):
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(f"class{i}" for i in (7, 3, 0, 1, 2, 4)))
    dataset = open_dataset(str(small_data), "test", classes)
    assert dataset.class_count == 6
    assert dataset.label(0) == 2
    classes.write_text("class0\nclass1\n")
    with pytest.raises(OnnxqError, match="class2 is not in the class list"):
        open_dataset(str(small_data), "test", classes)


@pytest.mark.parametrize("spec", ["nowhere", "cifar10:nowhere", "cifar100:nowhere", "nothing.npz"])
def test_missing_data_is_said(spec):
    with pytest.raises(OnnxqError, match=r"nowhere|nothing"):
        open_dataset(spec, "test")


def test_an_empty_folder_is_said(tmp_path):
    (tmp_path / "class").mkdir()
    with pytest.raises(OnnxqError, match="no images, neither in it nor in class folders"):
        open_dataset(str(tmp_path), "test")


def test_a_folder_too_high_up_is_said(tmp_path):
    for split in ("calib", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / split / name / "0.png")
    with pytest.raises(OnnxqError, match=r"calib, test are no classes, but parts: give one of them, like .*calib"):
        open_dataset(str(tmp_path), "calib")
    assert len(open_dataset(str(tmp_path / "calib"), "calib")) == 2
    for name in ("calib", "test"):
        (tmp_path / name).rename(tmp_path / f"{name}s")  # classes may have folders
    assert len(open_dataset(str(tmp_path), "calib")) == 4


def write_cifar(folder, names, key):
    folder.mkdir()
    random = np.random.default_rng(0)
    for number, name in enumerate(names):
        content = {b"data": random.integers(0, 256, (6, 3072), dtype=np.uint8), key: [number] * 6}
        (folder / name).write_bytes(pickle.dumps(content))


@pytest.mark.parametrize(
    ("kind", "folder", "train", "test", "key"),
    [("cifar10", "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], "test_batch", b"labels"),
     ("cifar100", "cifar-100-python", ["train"], "test", b"fine_labels")],
)  # fmt: skip
def test_cifar(tmp_path, kind, folder, train, test, key):
    write_cifar(tmp_path / folder, [*train, test], key)
    calib, held_out = open_dataset(f"{kind}:{tmp_path}", "calib"), open_dataset(f"{kind}:{tmp_path / folder}", "test")
    assert (len(calib), len(held_out)) == (6 * len(train), 6)
    assert held_out.label(0) == len(train)
    assert held_out.image(0).size == (32, 32)


def test_cifar_files_cannot_run_code(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(OnnxqError, match="a call of os system"):
        open_dataset(f"cifar10:{tmp_path}", "test")


def test_arrays(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((3, 8, 8, 3), np.uint8), labels=np.array([2, 0, 1]))
    batch = next(iter(Loader(open_dataset(str(path), "test"), PLAIN, range(3))))
    assert batch.images.shape == (3, 3, 8, 8)
    assert batch.labels.tolist() == [2, 0, 1]
    ready = np.random.default_rng(0).standard_normal((3, 3, 8, 8)).astype(np.float32)
    np.savez(path, images=ready, labels=np.array([2, 0, 1]))
    batch = next(iter(Loader(open_dataset(str(path), "test"), PLAIN, range(3))))
    np.testing.assert_array_equal(batch.images, ready)
    np.savez(path, images=ready, labels=np.array([2, 0]))
    with pytest.raises(OnnxqError, match="one for each image"):
        open_dataset(str(path), "test")


def test_demo_is_a_function_of_the_seed():
    a, b = demo.render("test", 7), demo.render("test", 7)
    assert a.dtype == np.uint8
    assert a.shape == (64, 64, 3)
    assert (a == b).all()
    assert (a != demo.render("calib", 7)).any()
    labels = {demo.label("test", index) for index in range(1000)}
    assert labels == set(range(len(demo.CLASSES)))
    # Guards the committed model against a changed drawing: its accuracy was measured on these pixels.
    assert demo.label("test", 0) == 48
    assert demo.render("test", 0).sum(dtype=np.int64) == pytest.approx(1_470_258, abs=200)  # sin differs by platform


def test_preprocessing_is_torchvisions():
    """Resize and crop as torchvision does them with PIL images, bit for bit; normalization to a rounding."""
    from torchvision.transforms import InterpolationMode, v2

    for size in [(300, 200), (201, 333), (256, 256), (90, 500)]:
        pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        for name in ("bilinear", "bicubic"):
            ours = Preprocessing(interpolation=name)
            theirs = v2.Compose([v2.Resize(256, InterpolationMode(name)), v2.CenterCrop(224)])
            np.testing.assert_array_equal(ours.pixels(image), np.asarray(theirs(image)))
    pixels = ours.pixels(image)
    normalized = v2.Compose(
        [v2.PILToTensor(), v2.ToDtype(__import__("torch").float32, scale=True), v2.Normalize(ours.mean, ours.std)]
    )
    out = np.empty((3, *pixels.shape[:2]), np.float32)
    ours.normalize(pixels, out)
    np.testing.assert_allclose(out, normalized(Image.fromarray(pixels)).numpy(), atol=1e-6)


def test_preprocessing_travels_in_metadata():
    want = Preprocessing((3, 32, 32), None, None, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), "bicubic")
    assert Preprocessing.from_metadata(want.to_metadata()) == want
    assert Preprocessing.from_metadata({}) is None
    with pytest.raises(OnnxqError, match="does not fit together"):
        Preprocessing.from_metadata({"mean": "[0.5]", "std": "[0.5]"})
    with pytest.raises(OnnxqError, match="no 'nearest'"):
        Preprocessing.from_metadata({**want.to_metadata(), "interpolation": "nearest"})


def test_loader_keeps_order_and_sizes(small_data):
    dataset = open_dataset(str(small_data), "test")
    batches = list(Loader(dataset, PLAIN, range(20), batch_size=7))
    assert [len(batch.labels) for batch in batches] == [7, 7, 6]
    first = np.asarray(dataset.image(0), np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(batches[0].images[0], first, atol=1e-6)
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [dataset.label(i) for i in range(20)]


def test_a_bad_image_is_named_counted_and_skipped_only_if_asked(small_data):
    bad = small_data / "class2" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    dataset = open_dataset(str(small_data), "test")
    with pytest.raises(OnnxqError, match=r"class2/1\.png: cannot be decoded.*`skip_bad_images`"):
        list(Loader(dataset, PLAIN, range(20), batch_size=7))
    loader = Loader(dataset, PLAIN, range(20), batch_size=7, skip_bad_images=True)
    assert sum(len(batch.labels) for batch in loader) == 19
    assert len(loader.skipped) == 1
    assert "1.png" in loader.skipped[0]


def test_images_of_different_sizes_are_said(small_data):
    Image.new("RGB", (9, 8)).save(small_data / "class2" / "9.png")
    with pytest.raises(OnnxqError, match="differ in size"):
        list(Loader(open_dataset(str(small_data), "test"), PLAIN, range(21)))


def test_choose_spreads():
    assert choose(10, None) == range(10)
    assert choose(10, 20) == range(10)
    assert list(choose(100, 4)) == [0, 25, 50, 75]
