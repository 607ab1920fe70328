"""Inputs that broke the tool once: the folder of them where it is there, and the fuzzers' corpus."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))
from judge import Worker, problem  # noqa: E402

HOSTILE = Path(__file__).parents[3] / "shared" / "hostile"
FOLDERS = sorted(path.parent for path in HOSTILE.glob("*/cmd.txt"))
BATCHES = sorted(path.parent for path in HOSTILE.glob("*/test_batch") if not (path.parent / "cmd.txt").exists())
BOMBS = sorted(HOSTILE.glob("bombs/*.yaml"))
MODELS = sorted(HOSTILE.glob("bad.*")) + sorted(HOSTILE.glob("*.onnx"))
PICTURES = sorted(path for path in HOSTILE.glob("images/*"))
CORPUS = sorted(path.parent for path in FUZZ.glob("corpus/*/commands.json"))


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.close()


def commands_in(text):
    return [line.split()[1:] for line in text.splitlines() if line.startswith("onnxq ")]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_inputs_of_the_folder(worker, tmp_path, folder):
    for path in folder.iterdir():
        shutil.copy(path, tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    assert problem(worker, tmp_path, commands_in((folder / "cmd.txt").read_text())) == ""


@pytest.mark.parametrize("folder", BATCHES, ids=lambda folder: folder.name)
def test_crafted_batches(worker, tmp_path, folder):
    shutil.copy(FOLDERS[0] / "m.onnx", tmp_path)
    asked = ["eval", "m.onnx", "--data", f"cifar10:{folder}", "--preset", "cifar"]
    assert problem(worker, tmp_path, [asked]) == ""
    code, said = worker.run(tmp_path, asked)
    assert code == 1
    assert "damaged one" in said or "must be" in said


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_bombs(worker, tmp_path, bomb):
    folder = next(folder for folder in FOLDERS if (folder / "s.npz").exists() and (folder / "r.yaml").exists())
    for name in ("m.onnx", "s.npz"):
        shutil.copy(folder / name, tmp_path)
    code, said = worker.run(tmp_path, ["quantize", "m.onnx", "--stats", "s.npz", "--recipe", str(bomb), "-o", "o.onnx"])
    assert code == 1
    assert "aliases stand for more than" in said


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_models_of_any_kind(worker, tmp_path, model):
    shutil.copy(model, tmp_path)
    np.savez(tmp_path / "d.npz", images=np.zeros((2, 1, 1, 2), np.float32), labels=[0, 0])
    name = model.name
    asked = [
        ["check", name], ["eval", name, "--data", "d.npz"], ["calibrate", name, "--data", "d.npz", "-o", "t.npz"],
        ["quantize", name, "--weight-bits", "8", "--act-bits", "none", "-o", "out.onnx"],
    ]  # fmt: skip
    assert problem(worker, tmp_path, asked) == ""


@pytest.mark.parametrize("pictures", PICTURES, ids=lambda pictures: pictures.name)
def test_pictures(worker, tmp_path, pictures):
    shutil.copy(FOLDERS[0] / "m.onnx", tmp_path)
    asked = [["eval", "m.onnx", "--data", str(pictures), *preset] for preset in ([], ["--preset", "imagenet"])]
    assert problem(worker, tmp_path, asked) == ""


@pytest.mark.parametrize("folder", CORPUS, ids=lambda folder: folder.name)
def test_what_the_fuzzers_found(worker, tmp_path, folder):
    copy = tmp_path / "case"
    shutil.copytree(folder, copy)
    assert problem(worker, copy, json.loads((copy / "commands.json").read_text())) == ""
