"""Options that say what a file may cost, and how one is found that loses little enough. A part of ``quantize``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from onnxq.core.statistics import Statistics
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError
from onnxq.evaluation.given_metric import metric_name
from onnxq.evaluation.metrics import DEFAULT
from onnxq.flow import Quantized, quantize
from onnxq.recipe import Recipe
from onnxq.recipe.rounding import Nearest
from onnxq.search.drop import Candidate, Judge, smallest_within
from onnxq_cli.common import options, size_text, table

USUAL = 4  # bits, of what people compare with
UNITS = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
WITHOUT_LABELS = ("agreement",)


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
    click.option("--bops-ratio", type=float, help="Products by bits of both factors at most, as a share of float's."),
    click.option("--sensitivity", metavar="FILE", help="Of `onnxq search --sensitivity`; measured where not given."),
    click.option(
        "--max-drop",
        type=click.FloatRange(0, 100),
        help="Points of the metric that may be lost on --data, of which all images count: the smallest such file. "
        "Without labels: percent of images of another class.",
    ),
    click.option("--metric", metavar="NAME|module.py:NAME", help="For --max-drop.  [default: top-1]"),
)


def within_drop(
    most: float,
    model: str,
    statistics: Statistics | None,
    recipe: Recipe,
    images: Loader | FeedLoader,
    judging: Loader | FeedLoader,
    metric: str | None,
    sensitivity: str | None,
    provider: str,
) -> Quantized:
    """The smallest file found, after a table of all that were tried.

    Raises:
        OnnxqError: not even 8 bits lose so little.
    """
    usual = DEFAULT if judging.dataset.class_count else WITHOUT_LABELS
    metrics = (metric_name(metric),) if metric is not None else usual
    judge = Judge(Path(model), judging, metrics, provider)
    best, tried = smallest_within(
        most, judge, statistics, recipe, images.images, sensitivity=sensitivity, provider=provider, said=_say
    )
    click.echo(candidates_table(tried))
    click.echo("")
    if best is None:
        least = min(candidate.lost for candidate in tried)
        raise OnnxqError(f"no file loses at most {most:g}: the best one of {len(tried)} loses {least:.2f}")
    plain = quantize(model, statistics, at_four_bits(recipe), images=images.images, provider=provider)
    size, usual = (each.model.ByteSize() for each in (best, plain))
    compared = "smaller" if size < usual else "no smaller"
    note = f"it is {compared} than with {USUAL} bits for all but the first and the last layer, {size_text(usual)}"
    return replace(best, notes=(*best.notes, note))


def _say(candidate: Candidate) -> None:
    """A minute or more lies between two."""
    click.echo(f"{candidate.bits:.2f} bits a weight: {candidate.lost:.2f} lost", err=True)


def at_four_bits(recipe: Recipe) -> Recipe:
    """The same with one width, and rounded quickly, for the size of the file alone."""
    return replace(recipe, weights=replace(recipe.weights, bits=USUAL), rounding=Nearest(), steps=())


def candidates_table(tried: Sequence[Candidate]) -> str:
    """A line for each, as they were tried."""
    rows = [[f"{each.bits:.2f}", size_text(each.size), f"{each.lost:.2f}"] for each in tried]
    return table(["bits a weight", "size", "lost"], rows)
