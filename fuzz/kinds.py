"""The kinds of inputs: how a case is made, and which commands read it. Called by ``run.py``."""

from __future__ import annotations

import io
import json
import pickle
import random
import string
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from damage import FLOATS, NUMBERS, damaged
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers import images, small_network

import onnxq
from onnxq.data.preprocessing import Preprocessing
from onnxq.graph.model_files import set_metadata

Commands = list[list[str]]
Kind = Callable[[Path, random.Random], Commands]
QUANTIZE = ["quantize", "m.onnx", "--stats", "s.npz", "-o", "out.onnx"]
SUFFIXES = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM")
FIELDS = (
    "weights activations bits format clipping steps target points overrides scheme act_bits weight_bits skip rounding "
    "alpha edge_bits percentile gptq keep layers"
)
VALUES = "4 8 affine apot mse [] {} ~ .nan .inf 1e999 2001-99-99 -1 '*' [[[[ gptq nearest true onnxruntime"
KINDS: dict[str, Kind] = {}


def kind(make: Kind) -> Kind:
    """Enter a maker of cases under its name."""
    KINDS[make.__name__] = make
    return make


@cache
def valid() -> dict[str, bytes]:
    """A small network that says how to preprocess, statistics of it, and images with labels."""
    model = small_network()
    set_metadata(model, Preprocessing((3, 8, 8), None, None, (0.5,) * 3, (0.5,) * 3).to_metadata())
    seen = onnxq.calibrate(model, [images(16)])
    folder = Path(__file__).parent / ".cache"
    folder.mkdir(exist_ok=True)
    seen.save(folder / "s.npz")
    arrays = io.BytesIO()
    np.savez(arrays, images=np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8), labels=np.arange(8) % 5)
    return {
        "m.onnx": model.SerializeToString(),
        "s.npz": (folder / "s.npz").read_bytes(),
        "d.npz": arrays.getvalue(),
    }


def write(folder: Path, **changed: bytes) -> None:
    """The valid inputs, some of them changed (``s_npz`` for s.npz)."""
    for name, content in {**valid(), **{name.replace("_", "."): content for name, content in changed.items()}}.items():
        (folder / name).write_bytes(content)


@kind
def models(folder: Path, chance: random.Random) -> Commands:
    """A model with flipped bytes, or with a field of its own that is wrong."""
    content = valid()["m.onnx"]
    if chance.random() < 0.4:
        content = damaged(content, chance)
    else:
        model = onnx.load_from_string(content)
        for _ in range(chance.choice((1, 1, 2))):
            _change(model, chance)
        content = model.SerializeToString()
    write(folder, m_onnx=content)
    commands = [
        ["calibrate", "m.onnx", "--data", "d.npz", "-n", "8", "-o", "t.npz"],
        ["quantize", "m.onnx", "--weight-bits", "8", "--act-bits", "none", "-o", "out.onnx"],
        ["quantize", "m.onnx", "--data", "d.npz", "-n", "8", "--target", "onnxruntime", "--weight-bits", "4",
         "--act-bits", "8", "-o", "out.onnx"],
        ["check", "m.onnx"],
        ["expand", "m.onnx", "-o", "out.onnx"],
        ["eval", "m.onnx", "--data", "d.npz"],
    ]  # fmt: skip
    return chance.sample(commands, 3)


def _change(model: onnx.ModelProto, chance: random.Random) -> None:
    graph = model.graph
    node, tensor = chance.choice(graph.node), chance.choice(graph.initializer)
    match chance.randrange(9):
        case 0 if node.attribute:
            attribute = chance.choice(node.attribute)
            attribute.i = chance.choice(NUMBERS)
            attribute.ints[:] = [chance.choice(NUMBERS) for _ in range(chance.randrange(5))]
        case 1:
            tensor.dims[:] = [chance.choice((0, 1, 2, 3, 7, 2**40, -1)) for _ in range(chance.randrange(5))]
        case 2:
            tensor.data_type = chance.randrange(30)
        case 3 if tensor.raw_data:
            values = np.frombuffer(tensor.raw_data, np.float32).copy()
            values[chance.randrange(max(len(values), 1)) :: chance.randrange(1, 9)] = chance.choice(FLOATS)
            tensor.raw_data = values.tobytes()
        case 4:
            node.op_type = chance.choice(
                ("Conv", "Gemm", "MatMul", "Relu", "BatchNormalization", "Clip", "Loop", "Add")
            )
        case 5 if node.input:
            node.input[chance.randrange(len(node.input))] = chance.choice(
                [*(t.name for t in graph.initializer), "", "x"]
            )
        case 6:
            node.domain = chance.choice(("onnxq", "com.microsoft", "foreign", "ai.onnx.ml"))
        case 7:
            entry = chance.choice(list(model.metadata_props))
            entry.value = chance.choice(("null", "[]", "{}", "1e400", "9" * 5000, "[" * 3000, '{"a": 1}', "-1", '"x"'))
        case _:
            shape = chance.choice([*graph.input, *graph.output, *graph.value_info]).type.tensor_type.shape
            if shape.dim:
                chance.choice(shape.dim).dim_value = chance.choice((0, 1, 3, -1, 2**31))


@kind
def statistics(folder: Path, chance: random.Random) -> Commands:
    """A statistics file with flipped bytes, or with arrays or a description of other values."""
    content = valid()["s.npz"]
    if chance.random() < 0.4:
        content = damaged(content, chance)
    else:
        with np.load(io.BytesIO(content)) as file:
            arrays: dict[str, Any] = dict(file)
        name = chance.choice(list(arrays))
        if name == "meta":
            meta = json.loads(str(arrays["meta"]))
            part = chance.choice([meta, chance.choice(meta["tensors"]), meta["origin"]])
            part[chance.choice([*part, "new"])] = chance.choice([None, -1, 0, 3, 1e9, "x", [], {}, True, float("nan")])
            arrays["meta"] = np.array(json.dumps(meta))
        else:
            values = arrays[name]
            match chance.randrange(4):
                case 0:
                    flat = values.reshape(-1)
                    number = chance.choice(FLOATS) if values.dtype.kind == "f" else chance.choice(NUMBERS[:-1])
                    flat[chance.randrange(flat.size) :: chance.randrange(1, 50)] = number
                case 1:
                    arrays[name] = values.astype(chance.choice(["<f8", ">f4", "i1", "U3", "c16", "?", "u8"]))
                case 2:
                    arrays[name] = values[: chance.randrange(len(values))]
                case _:
                    del arrays[name]
        changed = io.BytesIO()
        with np.errstate(all="ignore"):
            np.savez(changed, **arrays)
        content = changed.getvalue()
    write(folder, s_npz=content)
    return [[*QUANTIZE, "--bits", chance.choice(("4", "8"))]]


@kind
def recipes(folder: Path, chance: random.Random) -> Commands:
    """YAML of names and values that fit, or do not."""
    names = FIELDS.split()
    values = VALUES.split()
    values += ["{percentile: {keep: 99}}", "!!int abc", "!!timestamp x", "!!bool x", "&a [*a]", "first-and-last", "\t"]
    values += ["!!python/object/apply:os.system [id]", "\u2028"]
    values.append("9" * 5000)
    lines = []
    for _ in range(chance.randrange(1, 6)):
        value = chance.choice(values)
        if chance.random() < 0.3:
            value = f"{{{chance.choice(names)}: {value}}}"
        lines.append(f"{chance.choice(names)}: {value}")
    text = "\n".join(lines).encode()
    if chance.random() < 0.3:
        text = damaged(text, chance)
    write(folder, r_yaml=text)
    return [[*QUANTIZE, chance.choice(("--recipe", "--recipe", "--alpha")), "r.yaml"]]


@kind
def pictures(folder: Path, chance: random.Random) -> Commands:
    """A folder of images, one of them damaged or odd."""
    write(folder)
    inside = folder / "p" / "a"
    inside.mkdir(parents=True)
    mode = chance.choice(("RGB", "L", "P", "1", "CMYK", "I;16", "F", "LA", "RGBA"))
    size = chance.choice(((8, 8), (1, 1), (3000, 2), (8, 9), (60_000, 1)))
    suffix = chance.choice(SUFFIXES)
    content = io.BytesIO()
    try:
        Image.new(mode, size).save(content, suffix)
    except (OSError, ValueError, KeyError):  # a mode that the format lacks
        Image.new("RGB", (8, 8)).save(content, suffix)
    data = content.getvalue() if chance.random() < 0.3 else damaged(content.getvalue(), chance)
    (inside / f"i.{suffix.lower()}").write_bytes(data)
    Image.new("RGB", (8, 8)).save(inside / "j.png")
    preset = ["--preset", chance.choice(("cifar", "imagenet"))] if chance.random() < 0.5 else []
    return [["calibrate", "m.onnx", "--data", "p", *preset, "-o", "t.npz", "--skip-bad-images"],
            ["eval", "m.onnx", "--data", "p", *preset]]  # fmt: skip


@kind
def arrays(folder: Path, chance: random.Random) -> Commands:
    """An .npz of images and labels of other shapes, types and values, or damaged; and a list of classes."""
    shape = [chance.choice((0, 1, 2, 3, 8, 9)) for _ in range(chance.choice((1, 3, 4, 4, 4)))]
    types = ("u1", "u1", "<f4", "<f4", ">f4", "f8", "i8", "U2", "?", "c8")
    pixels: Any = np.zeros(shape, chance.choice(types))
    if pixels.dtype.kind == "f" and pixels.size:
        pixels.reshape(-1)[0] = chance.choice(FLOATS)
    label = chance.choice((0, 1, -1, 2**31, 2**62))
    kinds = ("i8", "u8", "f4", "i4")
    labels = np.full(chance.choice((shape[0], 1, 8)), label, np.int64).astype(chance.choice(kinds))
    content = io.BytesIO()
    np.savez(content, **{chance.choice(("images", "images", "images", "x")): pixels, "labels": labels})
    data = (
        content.getvalue()
        if chance.random() < 0.5
        else damaged(chance.choice([content.getvalue(), valid()["d.npz"]]), chance)
    )
    if chance.random() < 0.1:
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            header = io.BytesIO()
            claimed = {"descr": "|u1", "fortran_order": False, "shape": (2 ** chance.choice((20, 40, 62)), 8, 8, 3)}
            np.lib.format.write_array_header_1_0(header, claimed)
            archive.writestr("images.npy", header.getvalue() + bytes(10_000))
            archive.writestr("labels.npy", header.getvalue())
        data = bomb.getvalue()
    write(folder, d_npz=data, c_txt=damaged(b"a\nb\nc\n", chance))
    classes = ["--classes", "c.txt"] if chance.random() < 0.1 else []
    return [["eval", "m.onnx", "--data", "d.npz", *classes], ["calibrate", "m.onnx", "--data", "d.npz", "-o", "t.npz"]]


@kind
def cifar(folder: Path, chance: random.Random) -> Commands:
    """A batch of CIFAR-10 of any protocol, damaged or of other values."""
    count = chance.choice((1, 2, 3))
    pixels = np.zeros((count, 3072), chance.choice(("u1", "u1", "u1", "i8", "O")))
    labels: Any = chance.choice(
        ([0] * count, [-1] * count, [0], ["a"] * count, None, [float("nan")] * count, "123", [[1]])
    )
    as_bytes = chance.random() < 0.5
    data, names = (b"data", b"labels") if as_bytes else ("data", "labels")
    content = pickle.dumps({data: pixels, names: labels}, protocol=chance.randrange(6))
    if chance.random() < 0.6:
        content = damaged(content, chance)
    write(folder, test_batch=content)
    (folder / "test.batch").rename(folder / "test_batch")
    return [["eval", "m.onnx", "--data", "cifar10:.", "--preset", "cifar"]]


@kind
def words(folder: Path, chance: random.Random) -> Commands:
    """Arguments of any text."""
    write(folder)
    long = "n" * 300
    usual_texts = (
        "m.onnx|s.npz|d.npz|.|..|/|/dev/null|m.onnx/|a b|-1|0|999999999999|nan|1e400|demo|cifar10:|cifar10:.|no/such"
    )
    texts = ("", long, f"{long}/x", "\udcff", *usual_texts.split("|"), *string.punctuation)
    command = chance.choice(("calibrate", "quantize", "equalize", "eval", "check", "expand"))
    options = {
        "calibrate": ("--data", "-n", "-o", "--batch-size", "--placement", "--workers"),
        "quantize": (
            "--stats",
            "--bits",
            "-o",
            "--data",
            "--recipe",
            "--skip",
            "--act-bits",
            "--scheme",
            "--percentile",
        ),
        "equalize": ("--stats", "-o"),
        "eval": ("--data", "-n", "--json", "--batch-size"),
        "check": ("--target", "--json"),
        "expand": ("-o",),
    }[command]
    usual = {"--data": "d.npz", "--stats": "s.npz", "-o": "out.onnx", "-n": "4", "--bits": "4", "--json": "j.json"}
    usual["-o"] = "t.npz" if command == "calibrate" else usual["-o"]
    argv = [command, chance.choice(("m.onnx", chance.choice(texts)))]
    for option in options:
        text = chance.choice(texts) if option not in usual or chance.random() < 0.3 else usual[option]
        if option in usual or chance.random() < 0.2:
            argv += [option, text]
    return [argv]
