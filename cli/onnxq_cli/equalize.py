"""onnxq equalize"""

from __future__ import annotations

import click

import onnxq
from onnxq.graph.model_files import save_model
from onnxq_cli.common import check_outputs


@click.command("equalize")
@click.argument("model")
@click.option("--stats", required=True, metavar="FILE", help="Statistics of MODEL, from `onnxq calibrate`.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The float ONNX file to write.")
def command(model: str, stats: str, output: str) -> None:
    """Scale channels between layers of MODEL so that one range for a whole tensor fits them all.

    The result is a float model that computes the same. It is worth its while where activations are quantized per tensor
    and behind them are depthwise convolutions. Calibrate the result anew.

    \b
    onnxq equalize mobilenet.onnx --stats mobilenet.stats.npz -o mobilenet.equal.onnx
    onnxq calibrate mobilenet.equal.onnx --data imagenet/train -o mobilenet.equal.stats.npz
    """
    check_outputs(output, models=[model], inputs=[stats])
    result, scaled = onnxq.equalize(model, stats)
    save_model(result, output)
    click.echo(f"{output}: {scaled} tensors scaled")
