"""Files that claim more than they hold, or hold what they should not. (What the hostile folder shows, rebuilt.)"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import onnx
import pytest
from helpers import images, small_network
from PIL import Image

import onnxq
from onnxq.data.datasets import BadImageError, open_dataset
from onnxq.data.loader import Loader
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.recipe.files import load_recipe, load_yaml

PLAIN = Preprocessing((3, 8, 8), None, None, (0.5,) * 3, (0.5,) * 3)


def npz_with(arrays, name, shape, kind, content):
    """An archive whose member ``name`` claims a shape."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, values in arrays.items():
            if key != name:
                member = io.BytesIO()
                np.save(member, values)
                archive.writestr(f"{key}.npy", member.getvalue())
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
        archive.writestr(f"{name}.npy", header.getvalue() + content)
    return made.getvalue()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "s.npz"
    onnxq.calibrate(small_network(), [images(8)]).save(path)
    with np.load(path) as file:
        return path, dict(file)


def test_bombs_are_not_unpacked(saved):
    path, arrays = saved
    for shape, content in (((2**40, 256), b""), ((20_000, 256), bytes(20_000 * 256 * 8))):
        path.write_bytes(npz_with(arrays, "histogram", shape, "<i8", content))
        with pytest.raises(OnnxqError, match=r"claims|takes"):
            onnxq.Statistics.load(path)


CHANGES = {
    "minimum": lambda values: values + np.float32(1e6),
    "maximum": lambda values: values * np.nan,
    "sum": lambda values: values + 1e12,
    "sum_squares": lambda values: -values - 1,
    "anchor": lambda values: values * 0,
    "histogram": lambda values: values + 1,
}


@pytest.mark.parametrize("name", CHANGES)
def test_statistics_that_cannot_be(saved, name):
    path, arrays = saved
    np.savez(path, **{**arrays, name: CHANGES[name](arrays[name])})
    with pytest.raises(OnnxqError, match=r"damaged statistics, .*run `onnxq calibrate` again"):
        onnxq.Statistics.load(path)


def crafted(data):
    """A batch whose array is made by a call of the pickle."""
    return b"\x80\x04}(C\x04data" + data + b"C\x06labels](J\0\0\0\0eu."


def word(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


POINTERS = struct.pack("<Q", 0x4141414141414141) * 384
LONG_BYTES = b"B" + struct.pack("<I", len(POINTERS)) + POINTERS
OBJECTS = b"cnumpy\ndtype\n(" + word("O8") + b"\x89\x88tR"
CRAFTED = {
    "an array of objects": b"cnumpy\nndarray\n((M\x80\x01t" + OBJECTS + LONG_BYTES + b"tR",
    "a state of objects": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(J\0\0\0\0tC\x01btR(J\x01\0\0\0(M\x80\x01t"
    + OBJECTS + b"\x89" + LONG_BYTES + b"tb",
    "a call": b"cos\nsystem\n(" + word("true") + b"tR",
    "a persistent object": b"Pevil\n",
}  # fmt: skip


@pytest.mark.parametrize("data", CRAFTED)
def test_crafted_batches(tmp_path, data):
    (tmp_path / "test_batch").write_bytes(crafted(CRAFTED[data]))
    with pytest.raises(OnnxqError, match="not a batch of CIFAR, or a damaged one"):
        open_dataset(f"cifar10:{tmp_path}", "test")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("keys", [("data", "labels"), (b"data", b"labels")], ids=["text", "bytes"])
def test_batches_of_every_protocol(tmp_path, protocol, keys):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)
    content = {keys[0]: pixels, keys[1]: [3, 1, 2], "batch_label": "testing", "filenames": ["a", "b", "c"]}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol=protocol))
    found = open_dataset(f"cifar10:{tmp_path}", "test")
    assert [found.label(index) for index in range(3)] == [3, 1, 2]
    np.testing.assert_array_equal(np.asarray(found.image(1)), pixels[1].reshape(3, 32, 32).transpose(1, 2, 0))


@pytest.mark.parametrize("labels", [[-1], [10], ["1"], [True], [0, 1], None, "0"], ids=repr)
def test_labels_of_a_batch(tmp_path, labels):
    content = {b"data": np.zeros((1, 3072), np.uint8), b"labels": labels}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(OnnxqError, match="'labels' must be a number from 0 to 9 for each of 1 images"):
        open_dataset(f"cifar10:{tmp_path}", "test")


def test_narrow_arrays_keep_their_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 6, 3), np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=[0, 1])
    np.testing.assert_array_equal(np.asarray(open_dataset(str(tmp_path / "d.npz"), "test").image(1)), pixels[1])
    np.savez(tmp_path / "e.npz", images=np.zeros((2, 0, 6, 3), np.uint8), labels=[0, 1])
    with pytest.raises(OnnxqError, match="without pixels"):
        open_dataset(str(tmp_path / "e.npz"), "test")


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 1), (1, 101)])
def test_images_of_absurd_sizes(tmp_path, size):
    (tmp_path / "a").mkdir()
    Image.new("1", size).save(tmp_path / "a" / "i.png")
    with pytest.raises(BadImageError, match=r"i\.png: cannot be decoded \(it has"):
        open_dataset(str(tmp_path), "test").image(0)


def test_images_do_not_start_programs(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "i.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(BadImageError, match="not an image of a known kind"):
        open_dataset(str(tmp_path), "test").image(0)


@pytest.mark.parametrize("value", [8.5e-23, 1.5e-26, 1e-38, 2.4e38, -3e38, 0.0])
def test_statistics_of_extreme_values_are_no_damage(tmp_path, value):
    x = np.full((4, 3, 8, 8), value, np.float32)
    x[:, 1] *= np.float32(0.5)
    onnxq.calibrate(small_network(), [x * np.float32(1e-3)] if abs(value) > 1e30 else [x]).save(tmp_path / "s.npz")
    assert onnxq.Statistics.load(tmp_path / "s.npz").images == 4


def test_batches_that_make_much_of_little(tmp_path):
    text = "x" * 100_000
    program = b"\x80\x02" + b"X" + struct.pack("<I", len(text)) + text.encode() + b"q\x00}("
    call = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR"
    program += b"".join(b"U\x02" + f"{number:02}".encode() + call for number in range(40)) + b"u."
    (tmp_path / "test_batch").write_bytes(program)
    with pytest.raises(OnnxqError, match="makes more than it holds"):
        open_dataset(f"cifar10:{tmp_path}", "test")
    (tmp_path / "test_batch").write_bytes(b"N" * 50_000 + b"(t" * 50_000 + b".")
    with pytest.raises(OnnxqError, match="damaged one"):
        open_dataset(f"cifar10:{tmp_path}", "test")
    turned = pickle.dumps({b"data": np.asfortranarray(np.zeros((2, 3072), np.uint8)), b"labels": [0, 1]}, protocol=5)
    (tmp_path / "test_batch").write_bytes(turned)
    with pytest.raises(OnnxqError, match=r"order|bytes"):
        open_dataset(f"cifar10:{tmp_path}", "test")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_class_that_cannot_be_read(small_data):
    (small_data / "class1").chmod(0)
    with pytest.raises(OnnxqError, match="class1: cannot be read"):
        open_dataset(str(small_data), "test")
    (small_data / "class1").chmod(0o700)


def test_names_that_are_too_long(tmp_path):
    for name in (tmp_path / ("n" * 300), f"cifar10:{tmp_path / ('n' * 300)}", str(tmp_path / ("n" * 300)) + ".npz"):
        with pytest.raises((OnnxqError, OSError), match="File name too long"):
            open_dataset(str(name), "test")


def cached_pixels(folder, data):
    loader = Loader(open_dataset(str(data), "test"), PLAIN, range(20), cache=folder)
    return np.concatenate([batch.images for batch in loader])


@pytest.mark.parametrize("damage", ["one pixel", "zeros", "shorter", "longer", "a pipe", "text"])
def test_a_damaged_cache_is_made_anew(small_data, tmp_path, damage):
    folder = tmp_path / "cache"
    want = cached_pixels(folder, small_data)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.unlink()
    changed = {
        "one pixel": content[:500] + bytes([content[500] ^ 1]) + content[501:],
        "zeros": content[:128] + bytes(len(content) - 128),
        "shorter": content[:-1], "longer": content + b"x", "text": b"not an array",
    }  # fmt: skip
    if damage == "a pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(changed[damage])
    np.testing.assert_array_equal(cached_pixels(folder, small_data), want)
    assert path.read_bytes() == content


BOMB = "\n".join(
    ["skip:", " - &x0 [l,l,l,l,l,l,l,l,l,l]", *(f" - &x{n} [{','.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 9))]
)
TEXTS = {
    "bomb": BOMB, "itself": "skip: &a [*a]", "deep": "skip: " + "[" * 5000, "date": "bits: 2001-99-99", "word": "bits: !!int abc",
    "time": "bits: !!timestamp x", "digits": "bits: " + "9" * 5000, "long": "#" * 1_000_001, "base 60": "bits: 1" + ":1" * 400_000,
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_yaml(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(TEXTS[text])
    for read in (load_recipe, load_yaml):
        with pytest.raises(OnnxqError) as caught:
            read(str(path))
        assert len(str(caught.value)) < 1000


def test_numbers_of_many_digits(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("weight_bits: 0x" + "f" * 4000)
    with pytest.raises(OnnxqError, match="must be a number, not one of many digits"):
        load_recipe(str(path))


def test_a_few_aliases_are_fine(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("act_bits: &bits 4\nweight_bits: *bits\n")
    assert load_recipe(str(path)).weights.bits == 4


def test_names_of_a_model_that_are_no_text(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(small_network().SerializeToString().replace(b"logits", b"log\xffts"))
    with pytest.raises(OnnxqError, match="not a valid ONNX model"):
        onnxq.load_model(path)


def test_wrong_shapes_in_a_model_do_not_travel():
    model = small_network()
    wrong = onnx.helper.make_tensor_value_info("ra", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    model.graph.value_info.append(wrong)
    quantized = onnxq.quantize(model, onnxq.calibrate(model, [images(8)]), onnxq.Recipe.of()).model
    shapes = {
        entry.name: [size.dim_value for size in entry.type.tensor_type.shape.dim]
        for entry in quantized.graph.value_info
    }
    assert shapes["ra"][1:] == [6, 8, 8]
