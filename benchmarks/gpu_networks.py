"""Steps of gpu.py: whole networks."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from gpu_setting import Setting
from networks import cases, images_of
from timing import logits_of, node_events, profiled, random_images, random_network, ratio, throughput

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.batches import on_device
from onnxq.runtime.providers import PROVIDERS
from onnxq.runtime.sessions import make_session, session_options
from onnxq_cli.common import table

RECIPES = {"W4A4": Recipe.of(), "W8A8": Recipe.of(act_bits=8, weight_bits=8)}
TURNS = 15


def networks(setting: Setting) -> tuple[Any, str]:
    """ResNet-50, VGG-16 and MobileNetV2 with random weights (small: SqueezeNet 1.1)."""
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for arch in ("squeezenet1_1",) if setting.small else ("resnet50", "vgg16", "mobilenet_v2"):
            report[arch] = network(setting, arch, Path(name))
    rows = [
        [
            arch,
            *(f"{statistics.median(entry['images_per_second'][label]):.0f}" for label in ("float", *RECIPES)),
            *(f"{entry['over_float'][label]:.2f}" for label in RECIPES),
            f"{entry['calibration_over_inference']:.2f}",
            f"{100 * entry['share_of_kernels']:.1f} %",
            str(len(entry["on_other_providers"])),
            str(entry["copies"]),
            "yes" if entry["kernels_equal_bodies"] else "NO",
            f"{entry['largest_difference_from_cpu']:.1e}",
        ]
        for arch, entry in report.items()
    ]
    headers = ["images/s", "float", "W4A4", "W8A8", "W4A4/float", "W8A8/float", "calib/infer", "in kernels", "off GPU",
               "copies", "= bodies", "off CPU's"]  # fmt: skip
    passed = all(entry["kernels_equal_bodies"] and not entry["on_other_providers"] for entry in report.values())
    return {"passed": passed, **report}, table(headers, rows)


def network(setting: Setting, arch: str, folder: Path) -> dict[str, Any]:
    """Calibrate, quantize, run; where nodes run, and what the kernels take."""
    model = random_network(arch, folder)
    batch = 4 if setting.small else 64
    batches = [random_images(batch, seed) for seed in range(2 if setting.small else 8)]
    for _ in range(2):  # the first pass warms up; sessions count on both sides
        started = time.perf_counter()
        session = make_session(model, setting.provider)
        for images in batches:
            logits_of(session, images)
        inference = time.perf_counter() - started
        started = time.perf_counter()
        seen = onnxq.calibrate(model, batches, provider=setting.provider)
        calibration = time.perf_counter() - started
    files = {"float": model}
    for label, recipe in RECIPES.items():
        files[label] = folder / f"{arch}.{label}.onnx"
        save_model(onnxq.quantize(model, seen, recipe).model, files[label])
    rates = throughput(files, batches[0], 3 if setting.small else TURNS, setting.provider, native=True)
    logits = {
        (provider, native): logits_of(make_session(files["W4A4"], provider, native=native), batches[0])
        for provider, native in ((setting.provider, True), (setting.provider, False), ("cpu", True))
    }
    on_gpu, on_cpu = logits[setting.provider, True], logits["cpu", True]
    float_gpu, float_cpu = (
        logits_of(make_session(model, provider), batches[0]) for provider in (setting.provider, "cpu")
    )
    return {
        "batch": batch,
        "calibration_over_inference": calibration / inference,
        "images_per_second": rates,
        "over_float": {label: ratio(rates, label, "float") for label in RECIPES},
        "kernels_equal_bodies": bool(np.array_equal(on_gpu, logits[setting.provider, False])),
        "largest_difference_from_cpu": float(np.abs(on_gpu - on_cpu).max() / np.abs(on_cpu).max()),
        "same_of_float_network": float(np.abs(float_gpu - float_cpu).max() / np.abs(float_cpu).max()),
        "same_first_class_as_cpu": float((on_gpu.argmax(axis=1) == on_cpu.argmax(axis=1)).mean()),
        **profile(files["W4A4"], batches[0], setting, folder),
    }


def profile(path: Path, images: Any, setting: Setting, folder: Path) -> dict[str, Any]:
    """The share of time in onnxq's kernels; nodes that run elsewhere, by ONNX Runtime's profiler; copies between
    providers, from the optimized graph.
    """
    options = profiled(session_options(native=True), folder)
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    session = make_session(path, setting.provider, options=options)
    for _ in range(5):
        logits_of(session, images)
    kernels = node_events(session)
    own = [event for event in kernels if event["args"]["op_name"].startswith("FakeQuantize")]
    share = sum(event["dur"] for event in own) / sum(event["dur"] for event in kernels)
    wanted = PROVIDERS[setting.provider]
    optimized = onnx.load(folder / "optimized.onnx", load_external_data=False)
    return {
        "share_of_kernels": share_on_gpu(path, images, setting) if setting.provider == "cuda" else share,
        "on_other_providers": sorted({event["name"] for event in kernels if event["args"].get("provider") != wanted}),
        "copies": sum(node.op_type.startswith("Memcpy") for node in optimized.graph.node),
    }


def share_on_gpu(path: Path, images: Any, setting: Setting) -> float:
    """The same from the times of all CUDA kernels in the process: ONNX Runtime's own profile has launches only."""
    from torch.profiler import ProfilerActivity, profile

    session = make_session(path, setting.provider, native=True)
    there = on_device(images, session)
    logits_of(session, there)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(5):
            logits_of(session, there)
        setting.synchronize()
    times = {event.key: event.self_device_time_total for event in profiler.key_averages()}
    kernels = {name: spent for name, spent in times.items() if not name.startswith(("Memcpy", "Memset"))}
    return sum(spent for name, spent in kernels.items() if "onnxq" in name) / sum(kernels.values())


def testbed(setting: Setting) -> tuple[Any, str]:
    """Correct images of the float and the W4A4 file, on this provider and on the CPU's: at most two apart."""
    if setting.testbed is None:
        return {"skipped": "no --testbed"}, "skipped: no --testbed"
    report: list[dict[str, Any]] = []
    rows = []
    for case in cases(str(setting.testbed))[: 1 if setting.small else None]:
        calibration, tests = images_of(case)
        statistics_there = onnxq.calibrate(case.model, calibration, provider=setting.provider)
        with tempfile.TemporaryDirectory() as folder:
            quantized = Path(folder) / "w4a4.onnx"
            save_model(onnxq.quantize(case.model, statistics_there, Recipe.of()).model, quantized)
            scores = {
                provider: onnxq.evaluate([case.model, quantized], tests, provider=provider)
                for provider in (setting.provider, "cpu")
            }
        for label, there, here in zip(("float", "W4A4"), scores[setting.provider], scores["cpu"], strict=True):
            entry = {
                "network": case.model.stem,
                "file": label,
                "images": here.images,
                "correct": there.values["correct"],
            }
            report.append(
                {**entry, "correct_on_cpu": here.values["correct"], "images_per_second": there.images_per_second}
            )
            rows.append(
                [
                    f"{case.model.stem} {label}",
                    str(here.images),
                    str(there.values["correct"]),
                    str(here.values["correct"]),
                ]
            )
    passed = all(abs(entry["correct"] - entry["correct_on_cpu"]) <= 2 for entry in report)
    return {"passed": passed, "files": report}, table(["", "images", f"correct, {setting.provider}", "cpu"], rows)
