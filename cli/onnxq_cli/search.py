"""onnxq search"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import onnxq
from onnxq.core.files import size_text
from onnxq.core.sensitivity import by_effect
from onnxq.core.statistics import Statistics
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics import usual_metrics
from onnxq.flow import measure_sensitivity, passes_of
from onnxq.recipe.files import load_recipe
from onnxq.recipe.rounding import Nearest
from onnxq.search import AT_ONCE, Trials, progressive, widths
from onnxq_cli.common import (
    check_outputs,
    data_options,
    json_option,
    make_loader,
    printable,
    progress,
    provider_option,
    report_skipped,
    table,
    write_json,
)
from onnxq_cli.eval import metric_cells, metric_headings
from onnxq_cli.logs import Logs, Row

SEEN = 256  # images, to measure sensitivities on
SHOWN = (2, 3, 4, 6, 8)  # bits


@click.command("search")
@click.argument("model")
@click.option(
    "--stats",
    metavar="FILE",
    help="Statistics of MODEL, from `onnxq calibrate`; --sensitivity calibrates on --data without.",
)
@data_options
@click.option(
    "-n", "--images", type=click.IntRange(1), help="How many to evaluate on.  [default: all; 256 for --sensitivity]"
)
@click.option("--recipe", metavar="NAME|FILE", default="default", show_default=True, help="What is varied.")
@click.option(
    "--widths",
    "bits",
    metavar="LIST",
    help="Bits of weights and activations, one after the other.  [default: 8,7,6,5,4]",
)
@click.option(
    "--progressive",
    "step_by_step",
    is_flag=True,
    help="Instead: all layers at 8 bits, then one after another at those of the recipe.",
)
@click.option(
    "--sensitivity",
    metavar="FILE",
    help="Instead: what widths of each layer's weights do to the outputs, without evaluations; written as JSON, for "
    "`onnxq quantize --sensitivity`.",
)
@click.option("--from-last", is_flag=True, help="With --progressive: from the last layer to the first.")
@click.option("--csv", "csv_path", metavar="FILE", help="Append a row for each variant, as `onnxq eval --csv` does.")
@provider_option
@json_option
def command(
    model: str,
    stats: str | None,
    data: str,
    images: int | None,
    recipe: str,
    bits: str | None,
    step_by_step: bool,
    sensitivity: str | None,
    from_last: bool,
    csv_path: str | None,
    provider: str,
    json_path: str | None,
    **loading: Any,
) -> None:
    """Accuracy of MODEL at several precisions, in one table. Weights are rounded to the nearest level.

    \b
    onnxq search resnet50.onnx --stats resnet50.stats.npz --data imagenet/val --widths 8,6,4
    onnxq search resnet50.onnx --stats resnet50.stats.npz --data imagenet/val --progressive
    onnxq search resnet50.onnx --data imagenet/train --sensitivity resnet50.sensitivity.json
    """
    read = [stats, data, recipe, loading["classes"]]
    check_outputs(json_path, csv_path, sensitivity, models=[model], inputs=read)
    if sensitivity is not None:
        if bits is not None or step_by_step or csv_path is not None or json_path is not None:
            raise click.UsageError("--sensitivity goes without --widths, --progressive, --csv and --json")
        seen = Statistics.load(stats) if stats is not None else None
        loader = make_loader(model, data, "calib", images or SEEN, provider, statistics=seen, **loading)
        _write_sensitivity(sensitivity, model, seen, load_recipe(recipe), loader, provider)
        return
    if stats is None:
        raise click.UsageError("--stats is missing: statistics of MODEL, from `onnxq calibrate`")
    if from_last and not step_by_step:
        raise click.UsageError("--from-last goes with --progressive")
    if bits is not None and step_by_step:
        raise click.UsageError("--widths does not go with --progressive, which takes those of the recipe")
    statistics = Statistics.load(stats)
    asked = replace(load_recipe(recipe), rounding=Nearest())
    if passes_of(asked, statistics):
        raise OnnxqError(f"`recipe` {recipe}: its `steps` look at images, and search quantizes without: leave them out")
    loader = make_loader(model, data, "test", images, provider, statistics=statistics, **loading)
    chosen_metrics = load_recipe(recipe).metrics or usual_metrics(loader.dataset.class_count)
    logs = Logs(csv_path, None, chosen_metrics)
    logs.check()
    trials = Trials(Path(model), statistics, loader, chosen_metrics, provider)
    if step_by_step:
        chosen = asked.chosen(trials.layers)
        variants = progressive(asked, chosen[::-1] if from_last else chosen)
    else:
        variants = widths(asked, _widths(bits or "8,7,6,5,4"))
    passes = len(variants) // AT_ONCE + bool(len(variants) % AT_ONCE)
    with progress("evaluating", len(loader) * passes) as update:
        found = list(replace(trials, progress=update).run(variants))
    rows = []
    for trial in found:
        cells = metric_cells(trial.result, chosen_metrics, is_reference=not trial.recipe)
        rows.append([trial.name, *cells, size_text(trial.result.size)])
    click.echo(table(["variant", *metric_headings(chosen_metrics), "size"], rows))
    write_json(json_path, [{"variant": trial.name, **trial.result.to_json()} for trial in found])
    logs.append([Row(trial.name, trial.widths, trial.recipe, trial.result) for trial in found], model, data)


def _write_sensitivity(
    path: str,
    model: str,
    statistics: Statistics | None,
    recipe: onnxq.Recipe,
    loader: Loader | FeedLoader,
    provider: str,
) -> None:
    passes = 1 if statistics is not None or recipe.activations is None else 2
    with progress("measuring", passes * len(loader)) as update:
        found = measure_sensitivity(model, statistics, recipe, loader.images, provider=provider, progress=update)
    report_skipped(loader)
    found.save(path)
    rows = [
        [printable(layer.name), layer.op, str(layer.weights), *(f"{layer.effect(bits):.2g}" for bits in SHOWN)]
        for layer in by_effect(found.layers, SHOWN[len(SHOWN) // 2])
    ]
    click.echo("squared error of the outputs by their variance, each layer alone; what matters most first\n")
    click.echo(table(["layer", "op", "weights", *(f"{bits} bits" for bits in SHOWN)], rows))


def _widths(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--widths {text}: a list of whole numbers, like 8,6,4") from error
    if not all(2 <= width <= 8 for width in found):
        raise click.UsageError(f"--widths {text}: bits are 2 to 8")
    return found
