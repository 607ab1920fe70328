"""onnxq show"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import click

from onnxq.core.files import replacing, size_text
from onnxq.core.statistics import Statistics
from onnxq.inspection.show import show
from onnxq.inspection.shown import Range, ShownTensor
from onnxq_cli.common import check_outputs, json_option, printable, show_path, table, write_json


@click.command("show")
@click.argument("model", metavar="FILE")
@click.option("--stats", metavar="FILE", help="Statistics: thresholds of activations in standard deviations, too.")
@json_option
@click.option("--csv", "csv_path", metavar="FILE", help="Write the table as comma-separated values.")
def command(model: str, stats: str | None, json_path: str | None, csv_path: str | None) -> None:
    """Every quantized tensor of FILE: format, bits, scale, threshold, size, zeros, first values.

    \b
    onnxq show resnet50.w4a4.onnx
    """
    check_outputs(json_path, csv_path, models=[model], inputs=[stats])
    shown = show(model, Statistics.load(stats) if stats is not None else None)
    if not shown.tensors:
        click.echo(f"{model}: nothing is quantized")
    for kind in ("weight", "activation"):
        chosen = [tensor for tensor in shown.tensors if tensor.kind == kind]
        if chosen:
            click.echo(printable_table(chosen))
            click.echo("")
    weights = [tensor for tensor in shown.tensors if tensor.kind == "weight"]
    values = sum(tensor.values or 0 for tensor in weights)
    size = sum(tensor.bytes or 0 for tensor in weights)
    if values:
        click.echo(
            f"{len(weights)} weights in {size_text(size)}: {8 * size / values:.2f} bits for each of {values} values"
        )
    for note in shown.notes:
        click.echo(f"note: {note}")
    write_json(json_path, [{**dataclasses.asdict(tensor), "bits": tensor.bits} for tensor in shown.tensors])
    if csv_path is not None:
        with replacing(csv_path) as temporary:
            temporary.write_text(_csv(shown.tensors))


def printable_table(shown: list[ShownTensor]) -> str:
    """A line a tensor."""
    is_weight = shown[0].kind == "weight"
    headers = [shown[0].kind, "format", "bits", "scale", "threshold", "/ std"]
    headers += ["values", "size", "zeros", "first values"] if is_weight else ["range"]
    rows = []
    for tensor in shown:
        cells = [show_path(Path(printable(tensor.name))), tensor.format, _bits(tensor), _range(tensor.scale)]
        cells += [_range(tensor.threshold), _range(tensor.deviations)]
        if is_weight:
            cells += [str(tensor.values), size_text(tensor.bytes or 0), f"{100 * (tensor.zeros or 0):.1f} %"]
            cells.append(" ".join(f"{value:.3g}" for value in tensor.first))
        else:
            cells.append(_range(tensor.range))
        rows.append(cells)
    return table(headers, rows)


def _bits(tensor: ShownTensor) -> str:
    """The mean, and how many channels have which width."""
    if not tensor.widths:
        return ""
    if len(tensor.widths) == 1:
        return f"{tensor.bits:g}"
    return f"{tensor.bits:.2f} ({' '.join(f'{width}:{count}' for width, count in sorted(tensor.widths.items()))})"


def _range(values: Range | None) -> str:
    if values is None:
        return ""
    low, high = (f"{value:.3g}" for value in values)
    return low if low == high else f"{low} .. {high}"


def _csv(shown: Sequence[ShownTensor]) -> str:
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(ShownTensor) if field.name != "levels"]
    writer = csv.writer(text)
    writer.writerow([*names, "bits"])
    for tensor in shown:
        cells = [getattr(tensor, name) for name in names]
        texts = [" ".join(map(str, cell)) if isinstance(cell, tuple) else cell for cell in cells]
        texts[names.index("widths")] = " ".join(f"{width}:{count}" for width, count in sorted(tensor.widths.items()))
        writer.writerow([*texts, tensor.bits])
    return text.getvalue()
