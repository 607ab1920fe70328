"""Fixtures and the settings of hypothesis."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, settings

from onnxq.runtime.library import find_library

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile(
    "onnxq", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", parent=settings.get_profile("onnxq"), max_examples=20)
settings.load_profile(os.environ.get("ONNXQ_EXAMPLES", "onnxq"))


def pytest_configure(config: pytest.Config) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw") and hasattr(os, "sched_setaffinity"):  # each has a processor: sessions wait by spinning
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int(worker[2:]) % len(processors)]})
    if os.environ.get("ONNXQ_REQUIRE_NATIVE") and find_library() is None:
        pytest.exit("ONNXQ_REQUIRE_NATIVE is set and the native library was not built", returncode=1)
    if os.environ.get("ONNXQ_REQUIRE_CUDA"):
        from helpers import HAS_CUDA

        if not HAS_CUDA:
            pytest.exit("ONNXQ_REQUIRE_CUDA is set and CUDA kernels cannot run here", returncode=1)


@pytest.fixture(autouse=True)
def random(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone; ``RANDOM`` of its module gives the same ones."""
    generator = np.random.default_rng(zlib.crc32(request.node.name.encode()))
    if hasattr(request.module, "RANDOM"):
        request.module.RANDOM = generator
    return generator


@pytest.fixture(params=["body", "cpu", "cuda"])
def backend(request: pytest.FixtureRequest) -> tuple[bool, str]:
    """(native, provider): each way in which ONNX Runtime can run an operator."""
    if request.param == "body":
        return False, "cpu"
    from helpers import KERNEL_PROVIDERS

    if request.param not in KERNEL_PROVIDERS:
        pytest.skip("no native library, or no GPU")
    return True, request.param


@pytest.fixture(scope="session")
def testbed() -> Path:
    """Folder of trained networks and real images: ONNXQ_TESTBED, or ../shared/testbed beside the checkout."""
    folder = Path(os.environ.get("ONNXQ_TESTBED", Path(__file__).parents[2] / "shared" / "testbed"))
    if not folder.is_dir():
        pytest.skip("no testbed on this machine")
    return folder


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """A small network as a file."""
    from helpers import small_network

    path = tmp_path / "small.onnx"
    onnx.save(small_network(), path)
    return path


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """Twenty images of 8x8 in five class folders."""
    from PIL import Image

    random = np.random.default_rng(3)
    for label in range(5):
        folder = tmp_path / "data" / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(4):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "data"
