"""What an install without the large packages can do, and what it says of the rest."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from helpers import small_network

from onnxq.core.optional import optional
from onnxq.errors import OnnxqError
from onnxq.runtime import providers

LARGE = ("torch", "torchvision", "onnxscript", "matplotlib", "bokeh", "pycocotools", "sklearn", "mlflow", "ray")


def without(packages, *arguments, cwd=None):
    """The command where these packages cannot be imported."""
    block = f"import sys\nfor name in {list(packages)}: sys.modules[name] = None\nfrom onnxq_cli import main; main()"
    return subprocess.run([sys.executable, "-c", block, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def test_a_package_that_is_there_and_one_that_is_not():
    assert optional("json", "x", "y") is sys.modules["json"]
    with pytest.raises(OnnxqError, match=r"this needs it: pip install 'onnxq\[some\]'"):
        optional("no_such_package", "some", "this needs it")


@pytest.mark.slow
def test_the_flow_needs_none_of_the_large_packages(small_model, small_data, tmp_path):
    for arguments in (
        ("calibrate", small_model, "--data", small_data, "-o", "s.npz"),
        ("quantize", small_model, "--data", small_data, "--bits", 4, "-o", "q.onnx"),
        ("quantize", small_model, "--data", small_data, "--act-bits", 8, "--size", "20kB", "-o", "b.onnx"),
        ("eval", small_model, "q.onnx", "--data", small_data),
        ("compare", small_model, "q.onnx", "--data", small_data, "--layers"),
        ("check", "q.onnx"),
        ("show", "q.onnx"),
        ("info",),
    ):
        done = without(LARGE, *arguments, cwd=tmp_path)
        assert done.returncode == 0, (arguments, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("export", "resnet18", "-o", "r.onnx"), "torch"),
        (("report", "MODEL", "--float", "MODEL", "--data", "DATA", "-o", "r.html"), "report"),
        (("plot", "levels", "-o", "l.svg"), "plot"),
        (("calibrate", "MODEL", "--data", "DATA", "--engine", "ray", "-o", "s.npz"), "ray"),
    ],
    ids=str,
)
def test_what_is_missing_is_named_with_what_brings_it(small_model, small_data, tmp_path, arguments, extra):
    places = {"MODEL": small_model, "DATA": small_data}
    done = without(LARGE, *(places.get(word, word) for word in arguments), cwd=tmp_path)
    assert done.returncode == 1 and f"pip install 'onnxq[{extra}]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2  # a bar, and the error


def test_what_cannot_be_learnt_is_refused(small_model, small_data, tmp_path):
    asked = ("quantize", small_model, "--data", small_data, "--bits", 4, "--reconstruct", "-o", tmp_path / "q.onnx")
    done = without(LARGE, *asked)
    assert done.returncode == 1 and "pip install 'onnxq[torch]'" in done.stderr
    assert not (tmp_path / "q.onnx").exists()


def test_without_onnx_runtime(small_model):
    done = without(["onnxruntime"], "show", small_model)
    assert done.returncode == 1 and "pip install 'onnxq[cpu]'" in done.stderr


def test_both_packages_of_onnx_runtime(monkeypatch):
    versions = {"onnxruntime": "1", "onnxruntime-gpu": "1"}

    def version(name):
        if name not in versions:
            raise providers.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(providers.importlib.metadata, "version", version)
    assert providers.is_installed_twice()
    monkeypatch.setattr(providers.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(OnnxqError, match="both installed"):
        providers.resolve_provider("cuda")
    del versions["onnxruntime-gpu"]
    with pytest.raises(OnnxqError, match=r"pip install 'onnxq\[gpu\]'"):
        providers.resolve_provider("cuda")


def test_networks_made_by_hand_need_no_torch(tmp_path):
    onnx.save(small_network(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 8, 8), np.float32))
    done = without(LARGE, "calibrate", tmp_path / "m.onnx", "--data", tmp_path / "x.npy", "-o", tmp_path / "s.npz")
    assert done.returncode == 0, done.stderr
