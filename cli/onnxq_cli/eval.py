"""onnxq eval"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import onnxq
from onnxq.code_statistics import CodeRate, code_rates, mean_rate
from onnxq.datasets.folder import ImageFolder
from onnxq.evaluation import Evaluation
from onnxq.files import check_writable
from onnxq.loader import Loader
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
@click.option("--entropy", is_flag=True, help="Bits a code of each quantized tensor at variable length.")
@provider_option
@json_option
def command(
    models: tuple[str, ...],
    data: str,
    images: int | None,
    entropy: bool,
    provider: str,
    json_path: str | None,
    **loading: Any,
) -> None:
    """Top-1 and top-5 of MODELS over one pass of the data; the first is the reference.

    \b
    onnxq eval resnet50.onnx resnet50.w4a4.onnx --data imagenet/val
    """
    if json_path is not None:
        check_writable(json_path)
    loader = make_loader(models[0], data, "test", images, provider, **loading)
    with progress("evaluating", len(loader)) as update:
        results = onnxq.evaluate(models, loader, provider=provider, progress=update)
    report_skipped(loader)
    folders, expected = loader.dataset.class_count, results[0].classes
    if isinstance(loader.dataset, ImageFolder) and folders != expected:
        click.echo(f"warning: {folders} class folders, {expected} classes in the model; give --classes FILE", err=True)
    click.echo(f"{describe_data(loader.dataset, results[0].images)}, {results[0].provider.upper()} provider\n")
    click.echo(results_table(results))
    report = [result.to_json() for result in results]
    if entropy:
        for path, entry in zip(models, report, strict=True):
            with progress("counting codes", len(loader)) as update:
                rates = code_rates(path, _images(loader, update), provider=provider)
            if not rates:
                click.echo(f"\n{show_path(Path(path))}: no codes of onnxq operators to count")
            else:
                click.echo(f"\n{show_path(Path(path))}: bits a value\n\n{rates_table(rates)}")
            entry["codes"] = [rate.to_json() for rate in rates]
    write_json(json_path, {"models": report})


def _images(loader: Loader, update: Callable[[int], None]) -> Iterator[NDArray[np.float32]]:
    for batch in loader:
        yield batch.images
        update(len(batch.images))


def rates_table(rates: list[CodeRate]) -> str:
    """A line a tensor, and the mean of each kind weighted by values."""
    rows = [
        [show_path(Path(rate.name)), rate.kind, str(rate.values)]
        + [f"{value:.3f}" for value in (rate.fixed, rate.entropy, rate.huffman)]
        for rate in rates
    ]
    for kind in ("activation", "weight"):
        total = sum(rate.values for rate in rates if rate.kind == kind)
        means = [f"{mean_rate(rates, kind, field):.3f}" for field in ("fixed", "entropy", "huffman")]
        rows.append([f"all {kind}s", kind, str(total), *means])
    return table(["tensor", "kind", "values", "fixed", "entropy", "Huffman"], rows)


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
