"""Reports: how long they take to make, how large they are, and how soon a browser has them ready.

    python benchmarks/report_page.py [--arch resnet152] [--images 8] [--browser chromium] [--json FILE]

A torchvision network with random weights at 64 pixels, the drawings of `onnxq demo` as images, W4A8 for the integer
kernels of ONNX Runtime. Ready: histograms of the first layer are drawn, rows sort and can be chosen; each time in a new
tab of a browser without a screen that is running.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import onnxq
from onnxq.graph.model_files import metadata, save_model
from onnxq.report.gather import Asked, gather
from onnxq.report.page import page

TIMES = 7
SIDE = 64
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run")


def seconds_to_ready(path: Path, browser: str) -> list[float]:
    """Of each time."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as run:
        started = run.chromium.launch(executable_path=browser, args=list(QUIET))
        for _ in range(TIMES):
            tab = started.new_page()
            before = time.perf_counter()
            tab.goto(path.as_uri())
            tab.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=60_000)
            found.append(time.perf_counter() - before)
            tab.close()
        started.close()
    return found


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet152")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--browser", default=shutil.which("chromium"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="Keep the page there.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reference, quantized, output = folder / "float.onnx", folder / "quantized.onnx", folder / "report.html"
        model = onnxq.export_model(given.arch, weights="none", size=SIDE)
        save_model(model, reference)
        said = onnxq.Preprocessing.from_metadata(metadata(model))
        assert said is not None  # of what onnxq exports
        data = onnxq.open_dataset("demo", "test")
        loader = onnxq.Loader(data, said, onnxq.choose(len(data), given.images), batch_size=8)
        recipe = onnxq.Recipe.of(target="onnxruntime", weight_bits=4, act_bits=8, rounding="nearest")
        save_model(onnxq.quantize(reference, None, recipe, images=loader.images).model, quantized)
        before = time.perf_counter()
        found = gather(Asked(quantized, reference, ("classification", "agreement")), loader)
        output.write_text(page(found), encoding="utf-8")
        report: dict[str, Any] = {
            "network": given.arch,
            "layers": len(found.layers),
            "images": given.images,
            "seconds to make": time.perf_counter() - before,
            "bytes": output.stat().st_size,
            "load average before": os.getloadavg()[0],
            "seconds to ready": sorted(seconds_to_ready(output, given.browser)),
        }
        if given.page is not None:
            shutil.copy(output, given.page)
    print(json.dumps(report, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
