"""onnxq import-apot"""

from __future__ import annotations

import click

from onnxq.core.files import size_text
from onnxq.data.presets import PRESETS
from onnxq.export.apot.architectures import ARCHS
from onnxq.export.apot.grids import GRIDS
from onnxq.graph.model_files import metadata, save_model
from onnxq_cli.common import check_outputs


@click.command("import-apot")
@click.argument("checkpoint")
@click.option(
    "--arch",
    required=True,
    type=click.Choice(ARCHS),
    help="The network; res20 and res56 are those for CIFAR.",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="The quantized ONNX file to write.")
@click.option(
    "--bits",
    type=click.IntRange(2, 32),
    help="That it was trained at; 32: a float network.  [default: what the path says, like res20_3bit]",
)
@click.option(
    "--grid",
    type=click.Choice(list(GRIDS)),
    default="apot",
    show_default=True,
    help="Levels: additive powers of two, plain ones, equal steps.",
)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Preprocessing, instead of CIFAR-10's or ImageNet's.")
def command(checkpoint: str, arch: str, output: str, bits: int | None, grid: str, preset: str | None) -> None:
    """Make a quantized file of a network that the published APoT system trained (CHECKPOINT: its .pth.tar file).

    Weights, levels and trained thresholds stay as they are; batch norm is folded behind them.

    \b
    onnxq import-apot result/res20_3bit/model_best.pth.tar --arch res20 -o res20.w3a3.onnx
    onnxq eval res20.w3a3.onnx --data cifar10:cifar-10-batches-py
    """
    check_outputs(output, models=[], inputs=[checkpoint])
    from onnxq.export.apot.importing import import_apot  # torch takes seconds to import

    model = import_apot(
        checkpoint, arch, bits=bits, grid=grid, preprocessing=PRESETS[preset] if preset is not None else None
    )
    save_model(model, output)
    values = metadata(model)
    what = values.get("onnxq.imported", f"{arch}, float")
    click.echo(f"{output}: {what}, {values['num_classes']} classes, {size_text(model.ByteSize())}")
