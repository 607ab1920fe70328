"""onnxq eval"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

import onnxq
from onnxq.core.feeds import Given, as_batch
from onnxq.core.files import size_text
from onnxq.core.metadata_keys import RECIPE
from onnxq.data.datasets.folder import ImageFolder
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.evaluation import METRICS
from onnxq.evaluation.code_rates import CodeRate, code_rates, mean_rate
from onnxq.evaluation.decoding import DECODERS
from onnxq.evaluation.evaluate import Evaluation
from onnxq.evaluation.given_metric import metric_name
from onnxq.evaluation.metrics import DEFAULT, Chosen, usual_metrics
from onnxq.evaluation.metrics.classification import least_top1
from onnxq.evaluation.plausible import doubt
from onnxq.evaluation.tasks import TASKS
from onnxq.graph.model_files import load_model, metadata
from onnxq_cli.common import (
    check_outputs,
    data_options,
    describe_data,
    json_option,
    make_loader,
    progress,
    provider_option,
    report_skipped,
    show_path,
    table,
    write_json,
)
from onnxq_cli.engines import check_engine, engine_options, shards_option
from onnxq_cli.logs import Logs, Row
from onnxq_cli.shards import shared_out
from onnxq_cli.tracking import distinct, track_option, tracking


@click.command("eval")
@click.argument("models", nargs=-1, required=True)
@data_options
@click.option("-n", "--images", type=click.IntRange(1), help="How many, spread over the data; all by default.")
@click.option("--shuffle", type=click.IntRange(0), metavar="SEED", help="In another order: for ranges of each batch.")
@click.option("--entropy", is_flag=True, help="Bits a code of each quantized tensor at variable length.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME|module.py:NAME",
    help=f"What to measure; repeatable: {', '.join(METRICS.names())}, or your own function or Metric.  "
    "[default: those of --task; what the recipe of a file asks for; classification and agreement; without labels "
    "distance]",
)
@click.option(
    "--task",
    type=click.Choice(list(TASKS)),
    help="Read annotations from --data: boxes (COCO .json, YOLO .yaml), masks (a folder of images and masks), text (a "
    ".txt of images, tabs and texts). The first model is tried on a few images before: stops if it does not work.",
)
@click.option(
    "--decode",
    metavar="NAME|module.py:NAME",
    help=f"How a detector writes boxes: {', '.join(DECODERS)}, or your own function.  [default: by shape]",
)
@click.option("--characters", metavar="FILE", help="Those of a text recognizer, one a line.  [default: its metadata]")
@click.option("--anyway", is_flag=True, help="With --task: go on though the first model does not work on the data.")
@click.option("--csv", "csv_path", metavar="FILE", help="Append a row for each model: settings, results, seconds.")
@click.option("--append-line", "line_path", metavar="FILE", help="Append type, bits, acc1 and acc5 of each, in a line.")
@engine_options
@shards_option
@provider_option
@track_option
@json_option
def command(
    models: tuple[str, ...],
    data: str,
    images: int | None,
    shuffle: int | None,
    entropy: bool,
    metrics: tuple[str, ...],
    task: str | None,
    decode: str | None,
    characters: str | None,
    anyway: bool,
    csv_path: str | None,
    line_path: str | None,
    engine: str,
    address: str | None,
    shards: int,
    provider: str,
    track: str | None,
    json_path: str | None,
    **loading: Any,
) -> None:
    """Top-1 and top-5 of MODELS over one pass of the data; the first is the reference.

    \b
    onnxq eval resnet50.onnx resnet50.w4a4.onnx --data imagenet/val
    onnxq eval detector.onnx detector.w8a8.onnx --data coco/annotations/instances_val2017.json --task detection
    """
    check_engine(engine, address)
    read = [data, loading["classes"], decode, characters, *metrics]
    check_outputs(json_path, csv_path, line_path, models=models, inputs=read)
    networks = [load_model(model) for model in models]
    facts = [metadata(network) for network in networks]
    chosen_task = TASKS[task] if task is not None else None
    loader = make_loader(models[0], data, "test", images, provider, task=chosen_task, beside=networks[1:], **loading)
    names = (
        tuple(dict.fromkeys(map(metric_name, metrics)))
        or (chosen_task.metrics if chosen_task is not None else ())
        or _asked_for(facts)
        or usual_metrics(loader.dataset.class_count)
    )
    chosen = with_parameters(names, {"detection": {"decode": decode}, "ocr": {"characters": characters}})
    if not loading["preset"]:
        _warn_of_preprocessing(models, facts)
    logs = Logs(csv_path, line_path, chosen)
    logs.check()
    if shuffle is not None and not len(loader.indices):
        raise click.UsageError("--shuffle: what a function yields comes in its order")
    if shuffle is not None:
        loader = replace(loader, indices=np.random.default_rng(shuffle).permutation(loader.indices).tolist())
    if chosen_task is not None and not anyway and (wrong := doubt(models[0], loader, chosen, provider)):
        without = ", without --preset" if loading["preset"] else ""
        if isinstance(loader.dataset, ImageFolder) and loading["classes"] is None:
            wrong += f" (of {loader.dataset.class_count} class folders; --classes names all, where a model has more)"
        raise OnnxqError(f"{wrong} (--anyway goes on all the same{without})")
    files = ", ".join(Path(model).name for model in models)
    with tracking(track, f"eval {files}") as run:
        run.parameters({"models": ", ".join(models), "data": data, "images": len(loader), "provider": provider})
        with progress("evaluating", len(loader)) as update:
            if engine == "ray":
                results = shared_out(models, loader, chosen, provider, shards, address, update)
            else:
                results = onnxq.evaluate(models, loader, metrics=chosen, provider=provider, progress=update)
        report_skipped(loader)
        _warn_of_classes(loader, results[0])
        seen = describe_data(loader.dataset, results[0].images)
        labels = "" if loader.dataset.class_count or task is not None else " without labels"
        click.echo(f"{seen}{labels}, {results[0].provider.upper()} provider\n")
        click.echo(results_table(results, metrics=chosen))
        report = [result.to_json() for result in results]
        if entropy:
            for path, entry in zip(models, report, strict=True):
                entry["codes"] = _count_codes(path, loader, provider)
        write_json(json_path, {"models": report})
        if logs.are_asked_for:
            logs.append([Row.of(result) for result in results], models[0], data)
        for result, label in zip(results, distinct([result.path.name for result in results]), strict=True):
            measured = {**result.values, "seconds": result.seconds, "bytes": result.size}
            run.metrics({f"{label}/{name}": value for name, value in measured.items()})


def with_parameters(names: Sequence[str], given: Mapping[str, Mapping[str, str | None]]) -> tuple[Chosen, ...]:
    """Metrics by name, with the parameters that were given for them.

    Raises:
        UsageError: a parameter is for a metric that is not measured.
    """
    said = {name: {key: value for key, value in fields.items() if value is not None} for name, fields in given.items()}
    for name, fields in said.items():
        if fields and name not in names:
            raise click.UsageError(
                f"--{next(iter(fields))} goes with the metric {name}, which is not measured (--task)"
            )
    return tuple({name: said[name]} if said.get(name) else name for name in names)


def _warn_of_classes(loader: Loader | FeedLoader, reference: Evaluation) -> None:
    folders, expected = loader.dataset.class_count, reference.values.get("classes")
    if expected and reference.images >= ENOUGH and reference.top1 < least_top1(expected):
        click.echo(
            f"warning: {show_path(reference.path)} is right on {reference.top1:.1f} %, as guessing is; "
            "--task classification looks for the reason",
            err=True,
        )
    if isinstance(loader.dataset, ImageFolder) and expected is not None and folders != expected:
        click.echo(
            f"warning: {folders} class folders, {expected:.0f} classes in the model; give --classes FILE", err=True
        )


def _count_codes(path: str, loader: Loader | FeedLoader, provider: str) -> list[dict[str, object]]:
    with progress("counting codes", len(loader)) as update:
        rates = code_rates(path, _images(loader, update), provider=provider)
    if not rates:
        click.echo(f"\n{show_path(Path(path))}: no codes of onnxq operators to count")
    else:
        click.echo(f"\n{show_path(Path(path))}: bits a value\n\n{rates_table(rates)}")
    return [rate.to_json() for rate in rates]


def _warn_of_preprocessing(models: Sequence[str], facts: Sequence[Mapping[str, str]]) -> None:
    """All files see the images as the first one wants them."""
    wanted = [Preprocessing.from_metadata(values) for values in facts]
    for model, own in zip(models, wanted, strict=True):
        if own is not None and own != wanted[0]:
            click.echo(
                f"warning: {show_path(Path(model))} wants other preprocessing than {show_path(Path(models[0]))}, by "
                "whose all are evaluated: evaluate it alone",
                err=True,
            )


def _asked_for(facts: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The metrics that the recipe of one of these files names, if one does."""
    for values in facts:
        try:
            recipe = onnxq.Recipe.from_json(values.get(RECIPE, "{}"))
        except OnnxqError:  # of another version
            continue
        if recipe.metrics:
            return recipe.metrics
    return ()


def _images(loader: Loader | FeedLoader, update: Callable[[int], None]) -> Iterator[Given]:
    for batch in loader:
        yield batch.images
        update(len(as_batch(batch.images)))


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


ENOUGH = 50  # images, to say that a network does not work
HEADINGS = {"top1": "top-1 %", "top5": "top-5 %", "differs": "differs", "mAP": "mAP %", "mAP50": "mAP50 %",
            "mIoU": "mIoU %", "pixels": "pixels %", "characters": "characters %", "lines": "lines %"}  # fmt: skip
PERCENT = ("differs",)


def results_table(results: list[Evaluation], root: Path | None = None, metrics: Sequence[Chosen] = DEFAULT) -> str:
    """Files side by side; paths relative to ``root``."""
    rows = []
    for index, result in enumerate(results):
        path = show_path(result.path.relative_to(root) if root else result.path)
        cells = metric_cells(result, metrics, is_reference=index == 0)
        rows.append([path, *cells, size_text(result.size), f"{result.images_per_second:.0f}"])
    return table(["model", *metric_headings(metrics), "size", "images/s"], rows)


def metric_headings(metrics: Sequence[Chosen]) -> list[str]:
    """The columns of a table that shows these metrics."""
    return [HEADINGS.get(name, name) for metric in metrics for name in METRICS.parse(metric).columns]


def metric_cells(result: Evaluation, metrics: Sequence[Chosen], *, is_reference: bool) -> list[str]:
    """What these columns say of a file; of the reference nothing where it would be compared with itself."""
    chosen = [METRICS.parse(name) for name in metrics]
    return [
        "" if metric.compares and is_reference else f"{result.values[name]:{spec}}{' %' if name in PERCENT else ''}"
        for metric in chosen
        for name, spec in metric.columns.items()
    ]
