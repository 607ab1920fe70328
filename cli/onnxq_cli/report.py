"""onnxq report"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onnxq.core.files import replacing, size_text
from onnxq.core.statistics import Statistics
from onnxq.evaluation.given_metric import metric_name
from onnxq.evaluation.metrics import usual_metrics
from onnxq.report.gather import Asked, gather
from onnxq.report.page import page
from onnxq.report.plots import check_installed
from onnxq_cli.common import (
    check_outputs,
    data_options,
    describe_data,
    make_loader,
    progress,
    provider_option,
    report_skipped,
)


@click.command("report")
@click.argument("quantized", metavar="QUANTIZED")
@click.option("--float", "reference", required=True, metavar="MODEL", help="The network that it was made of.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The .html file to write.")
@data_options
@click.option("-n", "--images", type=click.IntRange(1), default=256, show_default=True, help="How many of the data.")
@click.option("--stats", metavar="FILE", help="Statistics of MODEL; without, activations are measured on --data.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME|module.py:NAME", help="As of `onnxq eval`.")
@click.option("--sweep", metavar="FOLDER", help="Of `onnxq sweep`: what else was tried is drawn beside.")
@provider_option
def command(
    quantized: str,
    reference: str,
    output: str,
    data: str,
    images: int,
    stats: str | None,
    metrics: tuple[str, ...],
    sweep: str | None,
    provider: str,
    **loading: Any,
) -> None:
    """One page about QUANTIZED to show to others, which needs no network: accuracy, size, speed, a row a layer with
    histograms, what is in float and why, images whose class changed, and how to make the file again.

    \b
    onnxq report resnet50.w4a8.onnx --float resnet50.onnx --data imagenet/val -o report.html
    """
    check_installed()
    check_outputs(output, models=[quantized, reference], inputs=[data, stats, loading["classes"], *metrics])
    statistics = Statistics.load(stats) if stats is not None else None
    loader = make_loader(reference, data, "test", images, provider, statistics=statistics, **loading)
    names = tuple(map(metric_name, metrics)) or usual_metrics(loader.dataset.class_count)
    folder = Path(sweep) if sweep is not None else None
    asked = Asked(Path(quantized), Path(reference), names, statistics, folder, provider)
    with progress("looking", asked.passes * len(loader)) as update:
        found = gather(asked, loader, update)
    with replacing(output) as temporary:
        temporary.write_text(page(found), encoding="utf-8")
    report_skipped(loader)
    size = Path(output).stat().st_size
    seen = describe_data(loader.dataset, found.images)
    click.echo(f"{output}: {seen}, {len(found.layers)} layers, {size_text(size)}")
