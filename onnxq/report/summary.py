"""The texts of a report: what the file is, what it scores, what was left in float. A part of ``report``."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime
import yaml

from onnxq._version import __version__
from onnxq.comparison.compared import Comparison
from onnxq.core.files import size_text
from onnxq.core.metadata_keys import CALIBRATION_IMAGES, IMAGES
from onnxq.evaluation.evaluate import Evaluation
from onnxq.graph.model_files import bytes_of, load_model
from onnxq.inspection.report import Check
from onnxq.inspection.show import show
from onnxq.recipe import Recipe
from onnxq.report.facts import ReportedLayer
from onnxq.report.speed import Speeds

RECURRENT = ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
PERCENT = {"top1": "top-1", "top5": "top-5", "mAP": "mAP", "mIoU": "mIoU", "characters": "characters", "lines": "lines"}


def facts_of(
    files: tuple[Path, Path],
    scores: Sequence[Evaluation],
    compared: Comparison,
    checked: Check | None,
    layers: Sequence[ReportedLayer],
    data: str,
    speed: Speeds,
) -> tuple[tuple[str, str], ...]:
    """The summary: a heading and a text each."""
    exact, own = scores
    found = [
        (heading, f"{own.values[name]:.2f} % (float {exact.values[name]:.2f} %)")
        for name, heading in PERCENT.items()
        if name in own.values and name in exact.values
    ]
    same = compared.outputs[0].same_argmax
    if same is not None:
        found.append(("agreement", f"{100 * same:.2f} % of images have the class that the float network says"))
    found += [
        (f"SQNR of {output.name}", "exact" if output.sqnr == float("inf") else f"{output.sqnr:.1f} dB")
        for output in compared.outputs
        if output.sqnr is not None
    ]
    before, after = map(bytes_of, files)
    found.append(("size", f"{size_text(after)}, {100 * after / before:.1f} % of {size_text(before)}"))
    if widths := _widths(layers):
        found.append(("bits", widths))
    float_rate, own_rate = speed.rates
    found.append(
        (
            "speed",
            f"{own_rate:.0f} images/s, {own_rate / float_rate:.2f} times float ({float_rate:.0f}), batches of "
            f"{speed.images} in turns; "
            f"{speed.provider.upper()} provider of ONNX Runtime {onnxruntime.__version__}, {_machine()}",
        )
    )
    found.append(_runs(checked))
    found.append(("measured on", f"{compared.images} images of {data}"))
    return tuple(found)


def _runs(checked: Check | None) -> tuple[str, str]:
    if checked is None:
        return "runs", "in any ONNX Runtime: operators of onnxq, which compute in float32 what integers would"
    whole = len(checked.layers)
    loads = f", loads in {checked.load_seconds:.2f} s" if checked.load_seconds is not None else ""
    done = f"{whole - len(checked.in_float)} of {whole} layers compute with integers"
    return f"for {checked.target}", f"{done}, opset {checked.opset}{loads}"


def notes_of(path: Path, checked: Check | None) -> tuple[str, ...]:
    """What was left in float and why, and what a runtime has against the file."""
    recurrent = sum(node.op_type in RECURRENT for node in load_model(path).graph.node)
    rest = [f"{recurrent} recurrent layers have no row: only what multiplies once has"] if recurrent else []
    if checked is None:
        return (*rest, *show(path).notes)
    by_reason: dict[str, list[str]] = {}
    for layer in checked.in_float:
        by_reason.setdefault(layer.why, []).append(layer.name)
    found = [f"in float: {_some(names)}: {why}" for why, names in by_reason.items()]
    if checked.others:
        others = ", ".join(f"{op} {count}" for op, count in sorted(checked.others.items(), key=lambda item: -item[1]))
        found.append(f"other operators in float: {others}")
    return (*found, *rest, *checked.problems, *show(path).notes)


def yaml_of(made_by: Recipe) -> str:
    """A recipe as a file has it."""
    return yaml.safe_dump(made_by.to_dict(), sort_keys=False, width=100)


def command_of(files: tuple[Path, Path], metadata: Mapping[str, str], data: str) -> str:
    """What makes the file again from ``recipe.yaml``; the data are those of the report, which may be others."""
    words = ["onnxq", "quantize", files[0].name, "--recipe", "recipe.yaml"]
    if count := metadata.get(IMAGES):
        words += ["--data", data, "-n", count]
    elif (count := metadata.get(CALIBRATION_IMAGES, "0")) != "0":
        words += ["--stats", f"statistics-of-{count}-images.npz"]
    return shlex.join([*words, "-o", files[1].name])


def _widths(layers: Sequence[ReportedLayer]) -> str:
    values = [(layer.bits, layer.values) for layer in layers if layer.bits]
    total = sum(count for _, count in values)
    if not total:
        return ""
    mean = sum(bits * count for bits, count in values) / total
    read = sorted({f"{layer.read_bits:g}" for layer in layers if layer.read_bits is not None}, key=float)
    activations = f"; activations {', '.join(read)}" if read else ""
    return f"weights {mean:.2f} on average, {min(values)[0]:g} to {max(values)[0]:g} by layer{activations}"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def versions() -> str:
    """Of what made the report."""
    return f"onnxq {__version__}, ONNX Runtime {onnxruntime.__version__}, onnx {onnx.__version__}"
