"""Every torchvision network, as far as its graph goes: exported, calibrated, quantized, run.

    python benchmarks/torchvision_networks.py [--only TEXT ...] [--skip TEXT ...] [--json FILE]

Random weights, a batch of two random images, sides of 64 pixels where the network takes such, else 224, else its own.
Files: W4A4 in onnxq's operators, and W8A8 for the integer kernels of ONNX Runtime, which runs in a session without
onnxq's library. Reported: the share of the weights that is quantized in each, and whether both ran to finite numbers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import onnxq
from onnxq.core.operator_call import DOMAIN
from onnxq.errors import OnnxqError
from onnxq.export.torchvision import model_names
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq_cli.common import table

SIDES = (64, 224, None)
WIDTHS = {
    "W4A4": Recipe.of(rounding="nearest"),
    "W8A8 integer": Recipe.of(target="onnxruntime", weight_bits=8, act_bits=8, rounding="nearest"),
}


def exported(arch: str) -> tuple[onnx.ModelProto, int]:
    """The model with the smallest side that it takes, and that side."""
    for side in SIDES:
        try:
            model = onnxq.export_model(arch, weights="none", size=side)
        except OnnxqError:
            if side is None:
                raise
        else:
            return model, model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    raise AssertionError("the last side raises")


def measure(arch: str, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    started = time.perf_counter()
    model, side = exported(arch)
    x = np.random.default_rng(0).standard_normal((2, 3, side, side)).astype(np.float32)
    row: dict[str, Any] = {"network": arch, "side": side, "share": {}, "finite": {}}
    for label, recipe in WIDTHS.items():
        result = onnxq.quantize(model, None, recipe, images=[x], hold_back=0)
        row["share"][label] = result.share
        save_model(result.model, folder / "q.onnx")
        stock = all(node.domain != DOMAIN for node in result.model.graph.node)
        options = ort.SessionOptions() if stock else onnxq.session_options()
        options.log_severity_level = 3
        session = ort.InferenceSession(folder / "q.onnx", options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: x})
        row["finite"][label] = all(bool(np.isfinite(output).all()) for output in outputs)
        row["stock"] = stock
    row["seconds"] = time.perf_counter() - started
    return row


def main() -> None:
    """A line a network, and the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", metavar="TEXT", help="networks whose name contains one of these")
    parser.add_argument("--skip", nargs="*", metavar="TEXT", default=[], help="and none of these")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for arch in model_names():
        wanted = arguments.only is None or any(text in arch for text in arguments.only)
        if not wanted or any(text in arch for text in arguments.skip):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                row = measure(arch, Path(folder))
            except (OnnxqError, RuntimeError) as error:
                row = {"network": arch, "problem": str(error).splitlines()[0][:200]}
        rows.append(row)
        print(json.dumps(row), flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    cells = [
        [
            row["network"],
            str(row["side"]),
            *(f"{100 * share:.2f} %" for share in row["share"].values()),
            *map(str, row["finite"].values()),
        ]
        if "share" in row
        else [row["network"], "", row["problem"], "", "", ""]
        for row in rows
    ]
    print(table(["network", "side", "W4A4 weights", "W8A8 weights", "W4A4 finite", "W8A8 finite"], cells))


if __name__ == "__main__":
    main()
