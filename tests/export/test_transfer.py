"""models/transfer_cifar.py, for a few steps on files like CIFAR's."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from onnxq.export.torchvision import export_model

SCRIPT = Path(__file__).parents[2] / "models" / "transfer_cifar.py"


@pytest.fixture
def cifar(tmp_path, random):
    """Batches of eight images."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        pixels = random.integers(0, 256, (8, 3072)).astype(np.uint8)
        (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": list(range(8))}))
    return folder


def transfer(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("name", ["resnet18_cifar10", "squeezenet_v1_cifar10"])
@pytest.mark.slow
def test_a_few_steps_and_the_export(name, cifar, tmp_path):
    out = tmp_path / "net.pt"
    few = ["--weights", "none", "--epochs", 2, "--frozen", 1, "--images", 8, "--batch", 4, "--size", 64]
    done = transfer(name, "--data", f"cifar10:{cifar}", "-o", out, *few)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("top-1") == 2
    state = torch.load(out, weights_only=True)
    assert any(len(value) == 10 for value in state.values() if value.ndim)
    model = export_model(name, weights=str(out), size=64)
    assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 10


def test_what_is_wrong_is_said(tmp_path):
    done = transfer("resnet18", "--data", "demo", "-o", tmp_path / "n.pt")
    assert (
        done.returncode == 1 and done.stderr == "error: resnet18: a network for CIFAR is called like resnet50_cifar10\n"
    )
    done = transfer("resnet18_cifar10", "--data", f"cifar10:{tmp_path}", "-o", tmp_path / "n.pt")
    assert done.returncode == 1 and "no such file" in done.stderr and not (tmp_path / "n.pt").exists()
