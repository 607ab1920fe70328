"""onnxq eval"""

from __future__ import annotations

from pathlib import Path

import click

import onnxq
from onnxq.datasets.folder import ImageFolder
from onnxq.evaluation import Evaluation
from onnxq.files import check_writable
from onnxq_cli.common import (
    data_options,
    describe_data,
    json_option,
    make_loader,
    progress,
    provider_option,
    report_skipped,
    show_path,
    size_text,
    table,
    write_json,
)


@click.command("eval")
@click.argument("models", nargs=-1, required=True)
@data_options
@click.option("-n", "--images", type=click.IntRange(1), help="How many, spread over the data; all by default.")
@provider_option
@json_option
def command(
    models: tuple[str, ...],
    data: str,
    classes: str | None,
    preset: str | None,
    batch_size: int,
    skip_bad_images: bool,
    images: int | None,
    provider: str,
    json_path: str | None,
) -> None:
    """Top-1 and top-5 of MODELS over one pass of the data; the first is the reference.

    \b
    onnxq eval resnet50.onnx resnet50.w4a4.onnx --data imagenet/val
    """
    if json_path is not None:
        check_writable(json_path)
    loader = make_loader(models[0], data, "test", images, classes, preset, batch_size, skip_bad_images)
    with progress("evaluating", len(loader)) as update:
        results = onnxq.evaluate(models, loader, provider=provider, progress=update)
    report_skipped(loader)
    folders, expected = loader.dataset.class_count, results[0].classes
    if isinstance(loader.dataset, ImageFolder) and folders != expected:
        click.echo(f"warning: {folders} class folders, {expected} classes in the model; give --classes FILE", err=True)
    click.echo(f"{describe_data(loader.dataset, results[0].images)}, {results[0].provider.upper()} provider\n")
    click.echo(results_table(results))
    write_json(json_path, {"models": [result.to_json() for result in results]})


def results_table(results: list[Evaluation], root: Path | None = None) -> str:
    """Files side by side; paths relative to ``root``."""
    rows = [
        [
            show_path(result.path.relative_to(root) if root else result.path),
            f"{result.top1:.2f}",
            f"{result.top5:.2f}",
            "" if index == 0 else f"{100 * result.disagreements / result.images:.1f} %",
            size_text(result.size),
            f"{result.images_per_second:.0f}",
        ]
        for index, result in enumerate(results)
    ]
    return table(["model", "top-1 %", "top-5 %", "differs", "size", "images/s"], rows)
