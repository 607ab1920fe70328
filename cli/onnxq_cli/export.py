"""onnxq export"""

from __future__ import annotations

import click

from onnxq.core.files import size_text
from onnxq.data.presets import PRESETS
from onnxq.graph.model_files import metadata, save_model
from onnxq_cli.common import check_outputs


@click.command("export")
@click.argument("arch")
@click.option("-o", "--output", required=True, metavar="FILE", help="The ONNX file to write.")
@click.option(
    "--weights",
    default="DEFAULT",
    show_default=True,
    metavar="DEFAULT|FILE|none",
    help="torchvision's best, a state-dict file, or random ones.",
)
@click.option("--num-classes", type=click.IntRange(2), help="Where it is not ImageNet's 1,000.")
@click.option("--size", type=click.IntRange(8), help="Side of the input in pixels, where it is not the model's own.")
@click.option("--small-stem", is_flag=True, help="A stem for 32x32 pixels: 3x3, without stride, with less pooling.")
@click.option("--keep-batch-norm", is_flag=True, help="Do not fold it (for --placement every-op-unfolded).")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), help="Preprocessing, instead of the published weights' own."
)
def command(
    arch: str,
    output: str,
    weights: str,
    num_classes: int | None,
    size: int | None,
    small_stem: bool,
    keep_batch_norm: bool,
    preset: str | None,
) -> None:
    """Export the torchvision model ARCH (classification, segmentation, detection): opset 21, batch norm folded.

    Of a detector what it computes for all anchors, before boxes are chosen.

    \b
    onnxq export resnet50 -o resnet50.onnx
    onnxq export resnet18 --num-classes 10 --preset cifar --small-stem --weights my.pt -o resnet18_cifar10.onnx
    """
    check_outputs(output, models=[], inputs=[weights])
    from onnxq.export.torchvision import export_model  # torch takes seconds to import

    preprocessing = PRESETS[preset] if preset else None
    model = export_model(
        arch,
        weights=weights,
        classes=num_classes,
        size=size,
        small_stem=small_stem,
        preprocessing=preprocessing,
        keep_batch_norm=keep_batch_norm,
    )
    save_model(model, output)
    values = metadata(model)
    outputs = ", ".join(entry.name for entry in model.graph.output)
    made = f"{values['num_classes']} classes" if "num_classes" in values else f"outputs {outputs}"
    shape = f"{made}, input {values['input_size']}"
    click.echo(f"{output}: {arch}, {shape}, {size_text(model.ByteSize())}")
