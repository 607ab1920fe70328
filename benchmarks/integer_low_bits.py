"""Four-bit files in integer kernels (--target onnxruntime --weight-bits 4): size, speed, load time and accuracy.

    python benchmarks/integer_low_bits.py [TESTBED] [--speed] [--accuracy] [--only resnet50] [--json FILE]

Speed: torchvision networks with random weights and EfficientNet-Lite0 of TESTBED, batch 8, on stock sessions, files in
turns; ``quantize_static`` of ONNX Runtime beside them (UINT8 activations, INT8 weights a channel, MinMax).
Accuracy: calibrated on 256 images and tested as in rounding.py; "simulated" is the same file computed operator by
operator, in float.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from integer import theirs
from networks import images_of
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from rounding import rounding_cases
from timing import logits_of, random_images, random_network, ratio, throughput

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.sessions import make_session, session_options
from onnxq_cli.common import table

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2")
WIDTHS = ((4, 8), (4, 4), (8, 8))
LOADS = 5


def recipe_of(weight_bits: int, act_bits: int, **fields: Any) -> Recipe:
    """Of an integer file."""
    return Recipe.of(weight_bits=weight_bits, act_bits=act_bits, target="onnxruntime", **fields)


def speed(model: Path, folder: Path, turns: int) -> dict[str, Any]:
    """Rows of one network: bytes, seconds to load, images a second of each turn, layers in float."""
    images = random_images(8)
    seen = onnxq.calibrate(model, [images], provider="cpu", points="integer")
    files = {"float": model}
    for bits in WIDTHS:
        label = f"W{bits[0]}A{bits[1]}"
        files[label] = folder / f"{label}.onnx"
        save_model(onnxq.quantize(model, seen, recipe_of(*bits, rounding="nearest")).model, files[label])
    files["quantize_static"] = theirs(model, folder / "theirs.onnx", [images], CalibrationMethod.MinMax)
    rates = throughput(files, images, turns, native=False)
    found: dict[str, dict[str, Any]] = {}
    for label, path in files.items():
        checked = onnxq.check(path)
        found[label] = {
            "bytes": path.stat().st_size,
            "load_seconds": min(_load_seconds(path) for _ in range(LOADS)),
            "images_per_second": rates[label],
            "by_float": ratio(rates, label, "float"),
            "by_quantize_static": ratio(rates, label, "quantize_static"),
            "in_float": len(checked.in_float),
            "layers": len(checked.layers),
        }
    rows = [
        [
            f"{model.stem} {label}",
            f"{row['bytes'] / 1e6:.2f} MB",
            f"{row['bytes'] / files['float'].stat().st_size:.3f}",
            f"{statistics.median(row['images_per_second']):.1f}",
            f"{row['by_float']:.2f}",
            f"{row['by_quantize_static']:.2f}",
            f"{row['load_seconds']:.2f} s",
            f"{row['layers'] - row['in_float']} of {row['layers']}",
        ]
        for label, row in found.items()
    ]
    heads = ["batch 8", "size", "/ float", "images/s", "/ float", "/ theirs", "loads in", "integer layers"]
    print(f"\n{table(heads, rows)}", flush=True)
    return found


def _load_seconds(path: Path) -> float:
    begun = time.perf_counter()
    make_session(path, native=False)
    return time.perf_counter() - begun


def accuracy(case: Any, folder: Path, bits: tuple[int, int]) -> dict[str, Any]:
    """The file of one network in its integer kernels, and simulated."""
    batches, tests = images_of(case)
    begun = time.perf_counter()
    result = onnxq.quantize(case.model, None, recipe_of(*bits), images=batches, provider="cpu")
    seconds, path = time.perf_counter() - begun, folder / "quantized.onnx"
    save_model(result.model, path)
    exact = session_options(native=False)
    exact.add_session_config_entry("session.disable_quant_qdq", "1")
    sessions = {
        "float": make_session(case.model, native=False),
        "integer": make_session(path, native=False),
        "simulated": make_session(path, options=exact),
    }
    found: dict[str, list[NDArray[np.int64]]] = {label: [] for label in sessions}
    labels = []
    for batch in tests:
        assert isinstance(batch.labels, np.ndarray) and isinstance(batch.images, np.ndarray)
        labels.append(batch.labels)
        for label, session in sessions.items():
            logits = logits_of(session, batch.images)
            found[label].append(logits.reshape(len(logits), -1).argmax(axis=1))
    first = {label: np.concatenate(parts) for label, parts in found.items()}
    truth = np.concatenate(labels)
    row = {
        "widths": f"W{bits[0]}A{bits[1]}",
        "images": len(truth),
        "float_top1": 100 * float((first["float"] == truth).mean()),
        "top1": 100 * float((first["integer"] == truth).mean()),
        "simulated_top1": 100 * float((first["simulated"] == truth).mean()),
        "differs": 100 * float((first["integer"] != first["float"]).mean()),
        "differs_from_simulation": 100 * float((first["integer"] != first["simulated"]).mean()),
        "bytes": path.stat().st_size,
        "float_bytes": case.model.stat().st_size,
        "quantize_seconds": seconds,
        "notes": list(result.notes),
    }
    print(case.model.stem, row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="folder of the testbed")
    parser.add_argument("--speed", action="store_true", help="speed only")
    parser.add_argument("--accuracy", action="store_true", help="accuracy only")
    parser.add_argument("--only", nargs="*", metavar="TEXT", help="networks whose name contains one of these")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ort.set_default_logger_severity(3)

    def asked(name: str) -> bool:
        return not args.only or any(text in name for text in args.only)

    report: dict[str, dict[str, Any]] = {"speed": {}, "accuracy": {}}
    for arch in () if args.accuracy else (*NETWORKS, *(["efficientnet_lite0"] if args.source else [])):
        if asked(arch):
            with tempfile.TemporaryDirectory() as folder:
                trained = Path(args.source or "") / "models" / f"{arch}.onnx"
                model = random_network(arch, Path(folder)) if arch in NETWORKS else trained
                report["speed"][arch] = speed(model, Path(folder), args.turns)
    for source in () if args.speed else filter(None, ["demo", args.source]):
        for case in rounding_cases(source):
            if asked(case.model.stem):
                with tempfile.TemporaryDirectory() as folder:
                    rows = [accuracy(case, Path(folder), bits) for bits in WIDTHS]
                report["accuracy"][case.model.stem] = rows
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
