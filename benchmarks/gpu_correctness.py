"""Steps of gpu.py that compare: kernels with numpy, with themselves on parts, with a captured graph."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from gpu_setting import Setting
from timing import random_images, random_network

import onnxq
from onnxq.core.histogram import anchor_of, bin_index
from onnxq.recipe import Recipe
from onnxq.runtime.one_operator import OPERATORS, model_of
from onnxq.runtime.providers import CUDA_OPTIONS
from onnxq.runtime.sessions import session_options

ROOT = Path(__file__).parents[1]
OPERATORS_TESTED = ("fake_quantize", "elementwise", "observe", "fixed_point_conv", "layouts")
OPERATOR_TESTS = [f"tests/operators/test_{name}.py" for name in OPERATORS_TESTED]
TIMEOUT = 540  # seconds
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")


def tests(setting: Setting) -> tuple[Any, str]:
    """The operators' tests in a process of their own."""
    chosen = OPERATOR_TESTS[:1] if setting.small else OPERATOR_TESTS
    environment = {**os.environ, **({"ONNXQ_REQUIRE_CUDA": "1"} if setting.provider == "cuda" else {})}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", *chosen],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
    return {"passed": done.returncode == 0, "output": tail}, tail


def sanitizer(setting: Setting) -> tuple[Any, str]:
    """Every kernel once, under each tool."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return {"skipped": "no compute-sanitizer on this machine"}, "skipped: no compute-sanitizer on this machine"
    report, lines = {}, []
    for tool in TOOLS:
        command = [program, "--tool", tool, "--kernel-regex", "kns=onnxq", "--error-exitcode", "9"]
        done = subprocess.run(
            [*command, sys.executable, ROOT / "benchmarks" / "gpu.py", "--kernels-once"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        report[tool] = {"passed": done.returncode == 0, "output": (done.stdout + done.stderr)[-3000:]}
        lines.append(f"{tool:10} {'clean' if done.returncode == 0 else report[tool]['output']}")
    return {"passed": all(entry["passed"] for entry in report.values()), **report}, "\n".join(lines)


def large(setting: Setting) -> tuple[Any, str]:
    """The last planes of a large tensor equal those of a small one. For Observe each channel has a value of its own."""
    channels, inner = (4, 33) if setting.small else (64, 1025)
    planes = 5 if setting.small else 2**31 // (channels * inner) + 3
    shape = (planes, channels, inner, 1)
    report, lines = {}, []
    for name in OPERATORS:
        x = setting.random(shape, np.float32)
        if name == "Observe":
            value = torch.linspace(-2, 2, channels, device=x.device)
            x.copy_(value.reshape(1, -1, 1, 1).expand(shape))
        run, outputs = setting.bound(model_of(name, shape), x, native=True)
        run()
        setting.synchronize()
        if name == "Observe":
            own = value.cpu().numpy()
            bins = bin_index(own, anchor_of(own, own))
            good = bool((outputs[0].cpu().numpy()[np.arange(channels), bins] == planes * inner).all())
        else:
            part = (2, *shape[1:])
            run_part, small = setting.bound(model_of(name, part), x[-2:].contiguous(), native=True)
            run_part()
            setting.synchronize()
            good = torch.equal(outputs[0][-2:], small[0])
        report[name] = {"values": x.numel(), "passed": good}
        lines.append(f"{name:24} {x.numel():,} values: {'as in a small one' if good else 'DIFFERS'}")
        del x, outputs, run
    return {"passed": all(entry["passed"] for entry in report.values()), **report}, "\n".join(lines)


def capture(setting: Setting) -> tuple[Any, str]:
    """A quantized network by a captured CUDA graph, against the same without."""
    if setting.provider != "cuda":
        return {"skipped": "CUDA only"}, "skipped: CUDA only"
    with tempfile.TemporaryDirectory() as folder:
        model = onnx.load(random_network("resnet18", Path(folder)))
    images = random_images(4)
    seen = onnxq.calibrate(model, [images], provider="cuda")
    quantized = onnxq.quantize(model, seen, Recipe.of()).model
    x = torch.from_numpy(images).cuda()
    run, plain = setting.bound(quantized, x, native=True)
    run()
    session = ort.InferenceSession(
        quantized.SerializeToString(),
        session_options(native=True),
        providers=[("CUDAExecutionProvider", {**CUDA_OPTIONS, "enable_cuda_graph": "1"})],
    )
    binding = session.io_binding()
    captured = torch.empty_like(plain[0])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    binding.bind_input(source.name, "cuda", 0, np.float32, list(x.shape), x.data_ptr())
    binding.bind_output(target.name, "cuda", 0, np.float32, list(captured.shape), captured.data_ptr())
    for _ in range(3):  # to warm up, to capture, to replay
        session.run_with_iobinding(binding)
    torch.cuda.synchronize()
    good = torch.equal(captured, plain[0])
    return {"passed": good}, "the same logits" if good else "DIFFERENT logits"
