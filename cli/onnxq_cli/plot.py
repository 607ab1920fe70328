"""onnxq plot"""

from __future__ import annotations

from typing import Any

import click

from onnxq.figures.base import FIGURES, save_figure
from onnxq_cli.common import check_outputs
from onnxq_cli.quantize import choice


@click.command("plot")
@click.argument("figure", type=click.Choice(FIGURES.names()))
@click.argument("files", nargs=-1)
@click.option("-o", "--output", required=True, metavar="FILE", help="The .svg, .png, .pdf or .html file to write.")
@click.option("--bits", type=click.IntRange(2, 8), multiple=True, help="Widths to draw; repeatable.")
@click.option("--layer", metavar="PATTERN", help="Of weights and bias.  [default: that of most weights a channel]")
@click.option("--weights", type=choice("weights"), help="Their format.  [default: uniform]")
def command(figure: str, files: tuple[str, ...], output: str, **parameters: Any) -> None:
    """Draw FIGURE: clipping-error, bit-allocation and levels from formulas; bias and weights of a float model (FILES);
    sweep of tables that `onnxq eval --csv` wrote.

    \b
    onnxq plot clipping-error -o clipping.svg
    onnxq plot weights resnet50.onnx --layer 'layer4*' --bits 4 -o weights.png
    onnxq plot sweep log.csv -o sweep.html
    """
    check_outputs(output, models=[], inputs=files)
    chosen = FIGURES.parse({figure: {name: value for name, value in parameters.items() if value not in (None, ())}})
    if bool(files) != bool(chosen.inputs):
        wanted = f"is drawn from {chosen.inputs}" if chosen.inputs else "is drawn from no file"
        raise click.UsageError(f"{figure} {wanted}")
    save_figure(chosen, files, output)
    click.echo(output)
