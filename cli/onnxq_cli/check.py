"""onnxq check"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import click

from onnxq.core.files import size_text
from onnxq.inspection.check import check
from onnxq.inspection.report import Check
from onnxq.recipe.targets import TARGETS
from onnxq.recipe.targets.base import IntegerTarget
from onnxq_cli.common import check_outputs, json_option, printable, write_json

SHOWN = 20  # layers; --json has all
WITH_KERNELS = [name for name in TARGETS.names() if isinstance(TARGETS.parse(name), IntegerTarget)]


@click.command("check")
@click.argument("model", metavar="MODEL")
@click.option(
    "--target",
    type=click.Choice(WITH_KERNELS),
    default=WITH_KERNELS[0],
    show_default=True,
    help="Who is to run the file.",
)
@json_option
def command(model: str, target: str, json_path: str | None) -> None:
    """Which layers of a file, onnxq's or not, a runtime computes with integers, and why others not.

    \b
    onnxq check resnet50.w4a8.onnx
    """
    check_outputs(json_path, models=[model])
    found = check(model, target)
    click.echo(f"{model}: {_facts(found)}")
    whole, left = len(found.layers), found.in_float
    by = (
        "ONNX Runtime computes" if found.load_seconds is not None else f"as far as the file tells, {target} can compute"
    )
    click.echo(f"{by} {whole - len(left)} of {whole} layers with integers")
    for layer in left[:SHOWN]:
        click.echo(printable(f"  float: {layer.op} {layer.name}: {layer.why}"))
    if len(left) > SHOWN:
        click.echo(f"  and {len(left) - SHOWN} more (--json FILE has all)")
    if found.others:
        click.echo(f"other operators in float: {_counts(found.others)}")
    click.echo(f"activations: {_counts(found.activations) or 'none quantized'}; weights: {_counts(found.weights)}")
    for problem in found.problems:
        click.echo(printable(f"- {problem}"))
    write_json(json_path, dataclasses.asdict(found))


def _facts(found: Check) -> str:
    loads = f", loads in {found.load_seconds:.2f} s" if found.load_seconds is not None else ""
    return f"{size_text(found.bytes)}, opset {found.opset}{loads}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
