"""Options that say what a file may cost, and how one is found that loses little enough. A part of ``quantize``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from onnxq.core.files import size_text
from onnxq.core.metadata_keys import RECIPE
from onnxq.core.statistics import Statistics
from onnxq.data.datasets import Purpose
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError
from onnxq.evaluation.given_metric import metric_name
from onnxq.evaluation.metrics import DEFAULT
from onnxq.evaluation.tasks import TASKS
from onnxq.flow import Quantized, quantize
from onnxq.graph.model_files import metadata
from onnxq.recipe import Recipe
from onnxq.recipe.rounding import Nearest
from onnxq.runtime.providers import resolve_provider
from onnxq.search.candidates import Candidate, Kept
from onnxq.search.drop import smallest_within
from onnxq.search.judge import Judge
from onnxq.search.sweep import Job, digest_of
from onnxq_cli.common import make_loader, options, progress, table

USUAL = 4  # bits, of what people compare with
UNITS = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
BY_AGREEMENT = ("agreement",)  # without labels


def bytes_of(text: str) -> float:
    """``2.0MB`` to 2e6; units are those of thousands, and KiB, MiB, GiB."""
    lower = text.strip().lower()
    unit = next((unit for unit in sorted(UNITS, key=len, reverse=True) if lower.endswith(unit)), "")
    try:
        return float(lower.removesuffix(unit)) * UNITS.get(unit, 1)
    except ValueError as error:
        raise click.BadParameter(f"{text}: a number of bytes, like 900kB or 2.0MB") from error


budget_options = options(
    click.option(
        "--size",
        type=bytes_of,
        metavar="SIZE",
        help="Of the file at most, like 2.0MB: bits differ between layers.",
    ),
    click.option("--size-ratio", type=float, help="The same, as a share of the float file."),
    click.option(
        "--bops-ratio",
        type=float,
        help="Products by bits of both factors at most, as a share of float's; of the layers that are quantized.",
    ),
    click.option("--sensitivity", metavar="FILE", help="Of `onnxq search --sensitivity`; measured where not given."),
    click.option(
        "--max-drop",
        type=click.FloatRange(0, 100),
        help="Points of the metric that may be lost on --data, of which all images count: the smallest such file. "
        "Without labels: percent of images of another class.",
    ),
    click.option("--metric", metavar="NAME|module.py:NAME", help="For --max-drop.  [default: that of --task; top-1]"),
    click.option(
        "--task",
        type=click.Choice(list(TASKS)),
        help="For --max-drop: read boxes, masks or texts from the images that judge, as of `onnxq eval`.",
    ),
    click.option(
        "--test", metavar="SOURCE", help="For --max-drop: other images, to judge files on.  [default: --data]"
    ),
    click.option(
        "--keep",
        metavar="FOLDER",
        help="For --max-drop: keeps what is found, so that a search that was stopped goes on.",
    ),
)
GO_WITH_DROP = ("metric", "task", "test", "keep")


@dataclass(frozen=True)
class Drop:
    """What the options of ``--max-drop`` say: the option itself, and those that go with it."""

    most: float
    data: str
    stats: str | None
    metric: str | None = None
    task: str | None = None
    test: str | None = None
    keep: str | None = None

    def judging(self, model: str, provider: str, statistics: Statistics | None, **loading: Any) -> Loader | FeedLoader:
        """All images of ``--test``, or of ``--data``."""
        task = TASKS[self.task] if self.task is not None else None
        purpose: Purpose = "test" if self.test is not None else "calib"
        source = self.test or self.data
        return make_loader(model, source, purpose, None, provider, statistics=statistics, task=task, **loading)

    def metrics(self, judging: Loader | FeedLoader) -> tuple[str, ...]:
        """By which files are judged."""
        if self.metric is not None:
            return (metric_name(self.metric),)
        if self.task is not None:
            return TASKS[self.task].metrics
        return DEFAULT if judging.dataset.class_count else BY_AGREEMENT


def within_drop(
    asked: Drop,
    model: str,
    statistics: Statistics | None,
    recipe: Recipe,
    images: Loader | FeedLoader,
    judging: Loader | FeedLoader,
    sensitivity: str | None,
    provider: str,
) -> Quantized:
    """The smallest file found, after a table of all that were tried.

    Raises:
        OnnxqError: not even 8 bits lose so little.
    """
    metrics = asked.metrics(judging)
    judge = Judge(Path(model), judging, metrics, provider, progress)
    kept = None
    if asked.keep is not None:
        read = [asked.data, *filter(None, (asked.stats, asked.test, asked.metric, sensitivity))]
        where = resolve_provider(provider)
        kept = Kept(Path(asked.keep), digest_of(Job(model, "", recipe), (images, judging), metrics, read, where))
    found = smallest_within(
        asked.most,
        judge,
        statistics,
        recipe,
        images.images,
        sensitivity=sensitivity,
        kept=kept,
        provider=provider,
        stage=progress,
        said=_say,
    )
    click.echo(candidates_table(found.tried))
    value = judge.float_value
    click.echo("" if value is None else f"{judge.metric_name} of the float network: {value:.4g}\n")
    best = found.best
    if best is None:
        least = min(candidate.lost for candidate in found.tried)
        raise OnnxqError(f"no file loses at most {asked.most:g}: the best one of {len(found.tried)} loses {least:.2f}")
    plain = quantize(model, found.statistics, at_four_bits(recipe), images=images.images, provider=provider)
    size, usual = (each.model.ByteSize() for each in (best, plain))
    compared = "smaller" if size < usual else "no smaller"
    notes = [f"it is {compared} than with {USUAL} bits for all but the first and the last layer, {size_text(usual)}"]
    if judge.may_lose_all(asked.most):
        notes.append(f"{asked.most:g} is no less than all that the float network has: any file loses as little")
    if not found.likely:
        notes.append(f"it may lose more than {asked.most:g} on other images: these are too few to say, judge by more")
    return replace(best, notes=(*best.notes, *notes))


def chosen_widths(result: Quantized) -> str:
    """Like W4.32A8: the mean of a weight, and of what layers read the narrowest and the widest."""
    mean = result.plan.mean_bits
    reached = Recipe.from_json(metadata(result.model)[RECIPE])
    if reached.activations is None:
        return f"W{mean:.2f}"
    reads = {each.act_bits for each in reached.overrides if each.act_bits is not None} or {reached.activations.bits}
    low, high = min(reads), max(reads)
    return f"W{mean:.2f}A{low:g}" + (f"-{high:g}" if high != low else "")


def _say(candidate: Candidate) -> None:
    """A minute or more lies between two."""
    click.echo(f"{candidate.mean:.2f} bits a weight: {candidate.lost:.2f} ± {candidate.error:.2f} lost", err=True)


def at_four_bits(recipe: Recipe) -> Recipe:
    """The same with one width, and rounded quickly, for the size of the file alone."""
    return replace(recipe, weights=replace(recipe.weights, bits=USUAL), rounding=Nearest(), steps=())


def candidates_table(tried: Sequence[Candidate]) -> str:
    """A line for each, as they were tried."""
    rows = ((f"{each.mean:.2f}", size_text(each.size), f"{each.lost:.2f}", f"{each.error:.2f}") for each in tried)
    distinct = [list(row) for row in dict.fromkeys(rows)]  # a target has not all widths
    return table(["bits a weight", "size", "lost", "standard error"], distinct)
