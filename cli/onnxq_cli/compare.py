"""onnxq compare"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import click

from onnxq.comparison.compare import compare
from onnxq.comparison.compared import ComparedTensor, Comparison
from onnxq.graph.model_files import load_model
from onnxq_cli.common import (
    check_outputs,
    data_options,
    describe_data,
    json_option,
    make_loader,
    printable,
    progress,
    provider_option,
    report_skipped,
    show_path,
    table,
    write_json,
)


@click.command("compare")
@click.argument("reference", metavar="FLOAT")
@click.argument("quantized", metavar="QUANTIZED...", nargs=-1, required=True)
@data_options
@click.option("-n", "--images", type=click.IntRange(1), default=128, show_default=True, help="How many of the data.")
@click.option("--layers", is_flag=True, help="Also each tensor that both have: its layer alone, and all before it.")
@click.option("--worst", type=click.IntRange(1), default=20, show_default=True, help="Tensors shown; --json has all.")
@provider_option
@json_option
def command(
    reference: str,
    quantized: tuple[str, ...],
    data: str,
    images: int,
    layers: bool,
    worst: int,
    provider: str,
    json_path: str | None,
    **loading: Any,
) -> None:
    """How far QUANTIZED files are from FLOAT, output by output; no labels needed.

    \b
    onnxq compare resnet50.onnx resnet50.w4a4.onnx --data photos
    onnxq compare detector.onnx detector.w8a8.onnx --data photos --layers
    """
    check_outputs(json_path, models=[reference, *quantized], inputs=[data, loading["classes"]])
    beside = [load_model(model) for model in quantized]
    loader = make_loader(reference, data, "test", images, provider, beside=beside, **loading)
    with progress("comparing", len(loader)) as update:
        found = compare(reference, quantized, loader.images, layers=layers, provider=provider, progress=update)
    report_skipped(loader)
    click.echo(f"{describe_data(loader.dataset, found[0].images)}\n")
    click.echo(outputs_table(found))
    if any(node.op_type == "NonMaxSuppression" for network in beside for node in network.graph.node):
        click.echo(
            "note: what comes out of NonMaxSuppression is compared row by row, where both have as many rows: another "
            "order counts as an error; `onnxq eval` judges it"
        )
    for each in found if layers else ():
        click.echo(f"\n{show_path(each.path)}: worst tensors, SQNR in dB")
        click.echo("")
        click.echo(tensors_table(each.tensors[:worst]))
        if len(each.tensors) > worst:
            click.echo(f"and {len(each.tensors) - worst} more (--worst, --json FILE)")
    write_json(json_path, [dataclasses.asdict(each) for each in found])


def outputs_table(found: list[Comparison]) -> str:
    """A line for each output of each file."""
    rows = []
    for each in found:
        for output in each.outputs:
            same = f"{100 * output.same_argmax:.1f} %" if output.same_argmax is not None else ""
            if output.shapes_differ:
                same = f"{output.shapes_differ} batches of other shapes"
            cosine, largest = (
                "" if value is None else f"{value:{spec}}"
                for value, spec in ((output.cosine, ".5f"), (output.largest, ".3g"))
            )
            cells = [_decibels(output.sqnr), cosine, largest, same]
            rows.append([show_path(each.path), printable(output.name), *cells])
    return table(["model", "output", "SQNR dB", "cosine", "largest error", "same argmax"], rows)


def tensors_table(tensors: tuple[ComparedTensor, ...]) -> str:
    """A line for each tensor."""
    rows = [
        [
            show_path(Path(printable(each.name))),
            each.op,
            _decibels(each.alone),
            _decibels(each.accumulated),
            each.reason,
        ]
        for each in tensors
    ]
    return table(["tensor", "made by", "alone", "accumulated", "why"], rows)


def _decibels(value: float | None) -> str:
    return "" if value is None else "exact" if value == math.inf else f"{value:.1f}"
