"""The examples run as they stand, on small networks and pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import parse
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name, *arguments):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pictures(tmp_path, random):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        pixels = random.integers(0, 256, (8, 8 if number % 2 else 11, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def test_they_are_short():
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert len(scripts) == 5 and all(len(path.read_text().splitlines()) < 60 for path in scripts)
    assert all(path.name in (EXAMPLES / "README.md").read_text() for path in scripts)


def test_classifier(small_model, small_data, tmp_path):
    said = example("classifier.py", small_model, small_data, tmp_path / "q.onnx", "--preset", "cifar")
    assert "100.0 % of the weights" in said and "'top1'" in said and (tmp_path / "q.onnx").exists()


def test_detector(pictures, tmp_path, random):
    weights = {
        "w": random.normal(size=(4, 3, 3, 3)),
        "v": random.normal(size=(4, 4, 3, 3)),
        "u": random.normal(size=(6, 4, 1, 1)),
    }
    model = parse(
        """d (float[1,3,8,8] x) => (float[1,6,8,8] y) { a = Conv <pads = [1,1,1,1]> (x, w)  r = Relu(a)
            b = Conv <pads = [1,1,1,1]> (r, v)  s = Relu(b)  h = Conv(s, u)  y = Sigmoid(h) }""",
        {name: value.astype(np.float32) for name, value in weights.items()},
    )
    onnx.save(model, tmp_path / "d.onnx")
    said = example("detector.py", tmp_path / "d.onnx", pictures, tmp_path / "q.onnx", "--preset", "yolo", "--worst", 1)
    assert "all layers quantized: {'y':" in said and "the worst in float: {'y':" in said and "dB alone" in said


@pytest.mark.slow
def test_segmentation(pictures, tmp_path):
    said = example("segmentation.py", pictures, tmp_path / "q.onnx", "--weights", "none", "--size", 64)
    assert said.count("'same'") == 2 and "'same': 100.0" in said


def test_text(pictures, tmp_path, random):
    model = parse(
        """t (float[n,3,48,w0] x) => (float[n,t,9] y) { a = Conv <pads = [1,1,1,1]> (x, w)  r = Relu(a)
            m = ReduceMean <keepdims = 0> (r, axis)  p = Transpose <perm = [0,2,1]> (m)  y = MatMul(p, v) }""",
        {
            "w": random.normal(size=(6, 3, 3, 3)).astype(np.float32), "axis": np.int64([2]),
            "v": random.normal(size=(6, 9)).astype(np.float32),
        },
    )  # fmt: skip
    onnx.save(model, tmp_path / "t.onnx")
    said = example("text.py", tmp_path / "t.onnx", pictures, tmp_path / "q.onnx", "--preset", "paddleocr-rec")
    equal, _, wanted = said.split()[:3]
    assert int(wanted) > 50 and int(equal) > 0.85 * int(wanted)


def test_own_metric(small_model, small_data, tmp_path):
    from click.testing import CliRunner

    from onnxq_cli.main import _group

    metrics = [
        part for name in ("confidence", "Largest") for part in ("--metric", f"{EXAMPLES / 'own_metric.py'}:{name}")
    ]
    arguments = ["eval", small_model, small_model, "--data", small_data, *metrics]
    done = CliRunner().invoke(_group, [str(argument) for argument in arguments])
    assert done.exit_code == 0 and "confidence" in done.output and "largest" in done.output, done.output
