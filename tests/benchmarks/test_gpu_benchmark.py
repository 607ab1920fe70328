"""benchmarks/gpu.py, as far as a machine without a GPU goes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HAS_CUDA, KERNEL_PROVIDERS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def gpu(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_a_dry_run_lists_the_steps():
    done = gpu("--dry-run")
    assert done.returncode == 0, done.stderr
    assert all(step in done.stdout for step in ("sanitizer", "bandwidth", "networks", "testbed"))
    assert ("no CUDA device" in done.stdout) != HAS_CUDA


@pytest.mark.skipif(not KERNEL_PROVIDERS, reason="the native library was not built")
@pytest.mark.slow
def test_steps_on_the_cpu(tmp_path):
    done = gpu("--provider", "cpu", "--small", "--out", tmp_path, "--only", "machine", "large", "bandwidth", "networks")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert set(report) == {"machine", "large", "bandwidth", "networks"}
    assert report["large"]["passed"]
    assert report["networks"]["squeezenet1_1"]["kernels_equal_bodies"]
    assert report["networks"]["squeezenet1_1"]["largest_difference_from_cpu"] == 0
    assert 0 < report["networks"]["squeezenet1_1"]["share_of_kernels"] < 1
    assert "of copy" in (tmp_path / "gpu.txt").read_text()


@pytest.mark.skipif(HAS_CUDA, reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    done = gpu("--out", tmp_path)
    assert done.returncode == 1
    assert "`provider` cuda: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not KERNEL_PROVIDERS, reason="the native library was not built")
def test_a_failing_step_is_recorded_and_fails_the_run(tmp_path):
    done = gpu("--provider", "cpu", "--small", "--out", tmp_path, "--only", "testbed", "large", "--testbed", "nowhere")
    assert done.returncode == 1
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert "nowhere" in report["testbed"]["error"]
    assert report["large"]["passed"]
