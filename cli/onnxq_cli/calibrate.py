"""onnxq calibrate"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import click

import onnxq
from onnxq.core.statistics import Statistics
from onnxq.data.loader import Loader
from onnxq.data.shards import shards as parts_of
from onnxq.errors import NoImagesError
from onnxq.recipe import POINTS, TARGETS
from onnxq_cli.common import (
    check_outputs,
    data_options,
    describe_data,
    make_loader,
    progress,
    provider_option,
    report_skipped,
)
from onnxq_cli.engines import all_on_ray, check_engine, engine_options, shards_option

Task = tuple[str, Loader, dict[str, Any]]


def calibrated(task: Task) -> tuple[Statistics | None, list[str]]:
    """Of a part of the images, wherever this is; and messages about those that were left out, which can be all."""
    model, loader, asked = task
    try:
        return onnxq.calibrate(model, loader.images, **asked), loader.skipped
    except NoImagesError:
        return None, loader.skipped


@click.command("calibrate")
@click.argument("model")
@data_options
@click.option(
    "-n", "--images", type=click.IntRange(1), default=512, show_default=True, help="How many, spread over the data."
)
@click.option("-o", "--output", required=True, metavar="FILE", help="The statistics file (.npz) to write.")
@click.option(
    "--placement",
    type=click.Choice(POINTS.names()),
    help="Where quantizers will be.  [default: where those of the target are]",
)
@click.option(
    "--target", type=click.Choice(TARGETS.names()), default="onnxq", show_default=True, help="Who is to run the file."
)
@click.option(
    "--moving-percentile",
    type=click.FloatRange(50, 100),
    help="Also keep the moving average over batches of this percentile of |x| (for quantize --moving-average).",
)
@click.option(
    "--batch-averages",
    is_flag=True,
    help="Also keep means over batches of extremes and moments (for recipes with activations `over: batches`).",
)
@engine_options
@shards_option
@provider_option
def command(
    model: str,
    data: str,
    images: int,
    output: str,
    placement: str | None,
    target: str,
    moving_percentile: float | None,
    batch_averages: bool,
    engine: str,
    address: str | None,
    shards: int,
    provider: str,
    **loading: Any,
) -> None:
    """Observe the activations of MODEL on calibration images.

    \b
    onnxq calibrate resnet50.onnx --data imagenet/train -n 512 -o resnet50.stats.npz
    """
    check_outputs(output, models=[model], inputs=[data, loading["classes"]])
    check_engine(engine, address)
    if engine == "ray" and moving_percentile is not None:
        raise click.UsageError("--moving-percentile depends on the order of batches: calibrate without --engine ray")
    loader = make_loader(model, data, "calib", images, provider, **loading)
    asked: dict[str, Any] = {
        "provider": provider,
        "points": placement or TARGETS.parse(target).points[0],
        "preprocessing": loader.applied.to_metadata() if loader.applied is not None else None,
        "moving_percentile": moving_percentile,
        "batch_averages": batch_averages,
    }
    with progress("calibrating", len(loader)) as update:
        if engine == "ray":
            tasks = [(str(Path(model).resolve()), part, asked) for part in parts_of(loader, shards)]
            done = all_on_ray(
                calibrated, tasks, address, provider, lambda part: update(part[0].images if part[0] else 0)
            )
            loader.skipped.extend(message for _, skipped in done for message in skipped)
            seen = [part for part, _ in done if part is not None]
            if not seen:
                raise NoImagesError("no calibration images")
            statistics = reduce(Statistics.merge, seen)
        else:
            statistics = onnxq.calibrate(model, loader.images, progress=update, **asked)
    statistics.save(output)
    report_skipped(loader)
    click.echo(f"{output}: {len(statistics.tensors)} tensors, {describe_data(loader.dataset, statistics.images)}")
