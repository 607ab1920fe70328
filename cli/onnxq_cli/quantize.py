"""onnxq quantize"""

from __future__ import annotations

from pathlib import Path

import click

import onnxq
from onnxq.files import save_model
from onnxq.recipe import FORMATS, GRANULARITIES, SCHEMES, Recipe
from onnxq_cli.common import size_text

BITS = click.IntRange(2, 8)


@click.command("quantize")
@click.argument("model")
@click.option("--stats", required=True, metavar="FILE", help="Statistics of this model, from `onnxq calibrate`.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The quantized ONNX file to write.")
@click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    default="aciq-laplace",
    show_default=True,
    help="How activation ranges are chosen; weights take their full range.",
)
@click.option("--bits", type=BITS, default=4, show_default=True, help="Of weights and activations.")
@click.option("--act-bits", type=BITS, help="Of activations, where it differs.")
@click.option("--weight-bits", type=BITS, help="Of weights, where it differs.")
@click.option("--edge-bits", type=BITS, default=8, show_default=True, help="Of the first and the last layer.")
@click.option("--act-granularity", type=click.Choice(GRANULARITIES), default="per-channel", show_default=True)
@click.option("--weight-granularity", type=click.Choice(GRANULARITIES), default="per-channel", show_default=True)
@click.option(
    "--skip", multiple=True, metavar="PATTERN", help="Leave layers of this name in float; repeatable, * matches."
)
@click.option("--std-multiplier", type=float, default=2.0, show_default=True, help="k of --scheme std.")
@click.option("--percentile", type=float, default=99.99, show_default=True, help="Share kept by --scheme percentile.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    default="onnxq",
    show_default=True,
    help="onnxq operators and packed weights, or standard QuantizeLinear/DequantizeLinear.",
)
def command(
    model: str,
    stats: str,
    output: str,
    scheme: str,
    bits: int,
    act_bits: int | None,
    weight_bits: int | None,
    edge_bits: int,
    act_granularity: str,
    weight_granularity: str,
    skip: tuple[str, ...],
    std_multiplier: float,
    percentile: float,
    file_format: str,
) -> None:
    """Quantize MODEL.

    \b
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --bits 4 -o resnet50.w4a4.onnx
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --act-bits 8 --skip '*fc*' -o resnet50.w4a8.onnx
    """
    recipe = Recipe(
        scheme=scheme,  # type: ignore[arg-type]  # click has checked the choices
        act_bits=act_bits or bits,
        weight_bits=weight_bits or bits,
        act_granularity=act_granularity,  # type: ignore[arg-type]
        weight_granularity=weight_granularity,  # type: ignore[arg-type]
        edge_bits=edge_bits,
        skip=skip,
        std_multiplier=std_multiplier,
        percentile=percentile,
        format=file_format,  # type: ignore[arg-type]
    )
    result = onnxq.quantize(model, stats, recipe)
    save_model(result.model, output)
    before, after = Path(model).stat().st_size, Path(output).stat().st_size
    click.echo(
        f"{output}: W{recipe.weight_bits}A{recipe.act_bits}, {len(result.plan.layers)} layers, {size_text(after)} "
        f"({100 * after / before:.1f} % of {size_text(before)})"
    )
    for note in result.notes:
        click.echo(f"note: {note}")
