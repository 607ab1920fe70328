"""onnxq expand"""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.core.files import size_text
from onnxq.graph.expand import expand
from onnxq.graph.model_files import bytes_of, load_model, save_model
from onnxq.runtime.sessions import check_loads
from onnxq_cli.common import check_outputs


@click.command("expand")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file to write.")
def command(model: str, output: str) -> None:
    """Write packed weights out, for runtimes that do not do so when they load a file.

    Weights of 2 to 7 bits in integer files become INT8, those of files in onnxq's operators float32.

    \b
    onnxq expand resnet50.w4a8.onnx -o resnet50.int8.onnx
    """
    check_outputs(output, models=[model])
    packed = load_model(model)
    check_loads(packed)
    save_model(expand(packed), output)
    click.echo(f"{output}: {size_text(Path(output).stat().st_size)}, from {size_text(bytes_of(model))}")
