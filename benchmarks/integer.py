"""Integer files (--format qdq --placement integer) beside those of ONNX Runtime's quantize_static and of NNCF.

    python benchmarks/integer.py [TESTBED] [--json FILE]

Speed: ResNet-18, ResNet-50 and MobileNetV2 with random weights, batch 8, the files in turns. Accuracy at W8A8 on the
demo network and on TESTBED (as in accuracy.py), on the same calibration images: quantize_static with the calibration
methods MinMax and Entropy and per-channel weights; NNCF with its defaults (for its target CPU where ONNX Runtime
cannot run those), where it is installed (pip install nncf);
onnxq's default, its other schemes, and its default behind `onnxq equalize`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from networks import Case, cases, images_of
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from reader import Reader
from timing import logits_of, random_images, random_network, ratio, throughput

import onnxq
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.sessions import make_session
from onnxq_cli.common import table

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2")
INTEGER: dict[str, Any] = {"act_bits": 8, "weight_bits": 8, "format": "qdq", "placement": "integer"}
SCHEMES: dict[str, dict[str, Any]] = {
    "onnxq (default)": {},
    "onnxq minmax": {"scheme": "minmax"},
    "onnxq mse": {"scheme": "mse"},
    "onnxq aciq, biases as they are": {"bias_correction": "none"},
}
HAS_NNCF = importlib.util.find_spec("nncf") is not None
METHODS = {"ONNX Runtime MinMax": CalibrationMethod.MinMax, "ONNX Runtime Entropy": CalibrationMethod.Entropy}


def theirs(
    model: Path,
    target: Path,
    batches: list[NDArray[np.float32]],
    method: CalibrationMethod,
    *,
    symbolic_shapes: bool = True,
) -> Path:
    """A file by quantize_static, behind the preprocessing that its documentation asks for.

    Args:
        symbolic_shapes: with its inference of those, which fails on some models.
    """
    name = onnx.load(model).graph.input[0].name
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=not symbolic_shapes)
    quantize_static(
        prepared,
        target,
        Reader(name, batches),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=method,
    )
    return target


def ours(model: Path, target: Path, batches: list[NDArray[np.float32]], **fields: Any) -> Path:
    """A file by onnxq."""
    seen = onnxq.calibrate(model, batches, provider="cpu", points="integer")
    save_model(onnxq.quantize(model, seen, Recipe.of(**{**INTEGER, **fields})).model, target)
    return target


def by_nncf(model: Path, target: Path, batches: list[NDArray[np.float32]]) -> dict[str, Path]:
    """A file by NNCF's defaults, and where ONNX Runtime cannot run that, one for NNCF's target CPU."""
    import nncf

    for label, device in (("NNCF", nncf.TargetDevice.ANY), ("NNCF, target CPU", nncf.TargetDevice.CPU)):
        source = onnx.load(model)
        dataset = nncf.Dataset([{source.graph.input[0].name: batch} for batch in batches])
        quantized = nncf.quantize(source, dataset, subset_size=len(batches), target_device=device)
        onnx.save(quantized, target)
        try:
            logits_of(make_session(target), batches[0])
        except OnnxqError as error:
            print(f"{model.stem}: ONNX Runtime cannot run the file of {label}: {str(error)[:300]}", flush=True)
        else:
            return {label: target}
    return {}


def equalized(model: Path, target: Path, batches: list[NDArray[np.float32]]) -> Path:
    """A file by onnxq's default from the equalized model."""
    equal, _ = onnxq.equalize(model, onnxq.calibrate(model, batches, provider="cpu"))
    save_model(equal, target)
    return ours(target, target, batches)


def speed(folder: Path, turns: int) -> dict[str, Any]:
    """The networks of NETWORKS."""
    report: dict[str, Any] = {}
    rows = []
    for arch in NETWORKS:
        model, x = random_network(arch, folder), random_images(8)
        files = {
            "float": model,
            "onnxq": ours(model, folder / "ours.onnx", [x]),
            "quantize_static": theirs(model, folder / "theirs.onnx", [x], CalibrationMethod.MinMax),
        }
        if HAS_NNCF:
            files |= by_nncf(model, folder / "nncf.onnx", [x])
        rates = throughput(files, x, turns)
        rows += [
            [
                f"{arch} {label}",
                f"{statistics.median(values):.1f}",
                f"{ratio(rates, 'onnxq', label):.2f}",
                f"{files[label].stat().st_size / 1e6:.2f}",
            ]
            for label, values in rates.items()
        ]
        report[arch] = {
            label: {"images_per_second": values, "bytes": files[label].stat().st_size}
            for label, values in rates.items()
        }
    print(f"\n{table(['int8, batch 8', 'images/s', 'onnxq / this', 'MB'], rows)}", flush=True)
    return report


def accuracy(case: Case, folder: Path) -> list[dict[str, Any]]:
    """Files by both tools on one network."""
    batches, tests = images_of(case)
    files = {"float": case.model}
    for number, (label, fields) in enumerate(SCHEMES.items()):
        files[label] = ours(case.model, folder / f"ours{number}.onnx", batches, **fields)
    files["onnxq, equalized"] = equalized(case.model, folder / "equalized.onnx", batches)
    if HAS_NNCF:
        files |= by_nncf(case.model, folder / "nncf.onnx", batches)
    for number, (label, method) in enumerate(METHODS.items()):
        files[label] = theirs(case.model, folder / f"theirs{number}.onnx", batches, method)
    results = onnxq.evaluate(list(files.values()), tests, provider="cpu")
    rows = [
        [
            label,
            f"{result.top1:.2f}",
            f"{result.values['differs']:.1f}",
            f"{path.stat().st_size / 1e3:.0f}",
        ]
        for (label, path), result in zip(files.items(), results, strict=True)
    ]
    print(f"\n{case.model.stem}, W8A8\n\n{table(['', 'top-1 %', 'differs %', 'kB'], rows)}", flush=True)
    return [{**result.to_json(), "path": label} for label, result in zip(files, results, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="folder of the testbed")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ort.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        report: dict[str, Any] = {"speed": speed(Path(folder), args.turns)}
        for source in filter(None, ["demo", args.source]):
            for case in cases(source):
                report[case.model.stem] = accuracy(case, Path(folder))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
