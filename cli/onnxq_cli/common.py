"""Options and output that several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import onnx

from onnxq.core.files import check_output, replacing
from onnxq.core.results import plain
from onnxq.core.statistics import Statistics
from onnxq.data.datasets import Dataset, Purpose, open_dataset
from onnxq.data.datasets.arrays import is_ready
from onnxq.data.feeds import FeedFiles, FeedFunction, FeedLoader, open_feeds
from onnxq.data.loader import BATCH_SIZE, Loader, choose
from onnxq.data.preprocessing import KEYS, Preprocessing
from onnxq.data.presets import PRESETS
from onnxq.errors import OnnxqError
from onnxq.evaluation.tasks import Task
from onnxq.graph.model_files import files_beside, fixed_batch_size, input_shape, load_model, metadata, set_metadata
from onnxq.runtime.providers import resolve_provider

# As fast as processes on a few cores, and no second interpreter to start; on many cores threads wait for each other.
DEFAULT_WORKERS = 0 if (os.cpu_count() or 1) <= 4 else min(16, (os.cpu_count() or 1) - 1)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*decorators: Decorator) -> Decorator:
    """Several click decorators as one."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


image_options = options(
    click.option(
        "--classes", metavar="FILE", help="Class names in index order, where the folders are not all of them."
    ),
    click.option(
        "--preset", type=click.Choice(list(PRESETS)), help="Preprocessing, instead of what the model's metadata says."
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        help=f"Images at a time.  [default: what a model fixes, or {BATCH_SIZE}]",
    ),
    click.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be decoded."),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=DEFAULT_WORKERS,
        show_default=True,
        help="Processes that decode images; 0: threads.",
    ),
    click.option("--cache", metavar="FOLDER", help="Keep decoded images there, for the next run over the same ones."),
)
IMAGE_OPTIONS = ("classes", "preset", "batch_size", "skip_bad_images", "workers", "cache")
data_options = options(
    click.option(
        "--data",
        required=True,
        metavar="SOURCE",
        help="Folder of images, in class folders or not; cifar10:DIR, cifar100:DIR, val224:FILE; .txt, YOLO .yaml or "
        "COCO .json list of images; .npy or .npz files; module.py:function that yields batches; or demo.",
    ),
    image_options,
)


def _numbered(context: click.Context, parameter: click.Parameter, number: int | None) -> None:
    """Put the number of a GPU into the provider: ``cuda:1``."""
    if number is not None:
        if context.params.get("provider") == "cpu":
            raise click.UsageError("--device is the number of a GPU; --provider cpu has none")
        context.params["provider"] = f"cuda:{number}"


provider_option = options(
    click.option(
        "--provider",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        is_eager=True,
        help="Where to run; auto takes CUDA if it works.",
    ),
    click.option(
        "--device",
        type=click.IntRange(0),
        expose_value=False,
        callback=_numbered,
        help="Number of the GPU, where there are several; it asks for CUDA.",
    ),
)
json_option = click.option("--json", "json_path", metavar="FILE", help="Write the result as JSON too.")


def make_loader(
    model: str,
    data: str,
    purpose: Purpose,
    count: int | None,
    provider: str,
    *,
    classes: str | None = None,
    preset: str | None = None,
    batch_size: int | None = None,
    skip_bad_images: bool = False,
    workers: int = DEFAULT_WORKERS,
    cache: str | None = None,
    statistics: Statistics | None = None,
    task: Task | None = None,
    beside: Sequence[onnx.ModelProto] = (),
) -> Loader | FeedLoader:
    """The images that the options ask for, preprocessed as the model wants them, or batches that are ready.

    Args:
        beside: models that are run on the same batches.

    Raises:
        OnnxqError: among others, ``statistics`` of the model were made of images that were preprocessed otherwise.
    """
    network = load_model(model)
    fixed = next(filter(None, map(fixed_batch_size, (network, *beside))), None)
    batch_size = batch_size or fixed or BATCH_SIZE
    feeds = open_feeds(data)
    if feeds is not None:
        if unused := [name for name, value in (("preset", preset), ("classes", classes), ("cache", cache)) if value]:
            raise click.UsageError(f"--{unused[0]} does nothing for arrays, which are taken as they are ({data})")
        return FeedLoader.of(feeds, count, batch_size)
    preprocessing = chosen_preprocessing(model, network, preset, statistics)
    annotated = task.open_dataset(data, purpose) if task is not None else None
    dataset = annotated if annotated is not None else open_dataset(data, purpose, classes)
    if preprocessing is None:
        if not is_ready(dataset):
            raise click.UsageError(
                f"{model} does not say how to preprocess images; give --preset, or let `onnxq preprocess` say it"
            )
        preprocessing = Preprocessing()  # not used: the arrays are taken as they are
    chosen = choose(len(dataset), count)
    if fixed and len(chosen) > fixed and (over := len(chosen) % fixed):
        click.echo(f"warning: {over} images left out: a model takes {fixed} at once, and no fewer", err=True)
        chosen = chosen[:-over]
    return Loader(
        dataset,
        preprocessing,
        chosen,
        batch_size,
        skip_bad_images,
        workers=workers,
        cache=Path(cache) if cache is not None else None,
        pinned=resolve_provider(provider) == "cuda",
    )


def chosen_preprocessing(
    model: str, network: onnx.ModelProto, preset: str | None, statistics: Statistics | None
) -> Preprocessing | None:
    """How images become the input: as the preset says, else the network, else the statistics.

    Raises:
        OnnxqError: the statistics are of images that were preprocessed otherwise.
    """
    known = dict(statistics.origin.preprocessing) if statistics is not None else {}
    own = Preprocessing.from_metadata(metadata(network))
    chosen = own or Preprocessing.from_metadata(known)
    if preset is not None:
        chosen = PRESETS[preset].for_shape(input_shape(network))
        if own not in (None, chosen):
            click.echo(f"warning: {model} says otherwise how images become its input; --preset is followed", err=True)
    if chosen is not None and known not in ({}, chosen.to_metadata()):
        raise OnnxqError(
            f"the statistics were made of images preprocessed as {Preprocessing.from_metadata(known)}, not as "
            f"{chosen}: give the `preset` that `onnxq calibrate` had, or calibrate again"
        )
    return chosen


def write_preprocessing(model: onnx.ModelProto, preprocessing: Preprocessing) -> None:
    """Say in a model how images become its input, instead of what it says."""
    set_metadata(model, preprocessing.to_metadata(), instead_of=KEYS)


def check_outputs(*outputs: str | None, models: Sequence[str], inputs: Sequence[str | None] = ()) -> None:
    """Find out before long work whether results can be written, and that they destroy nothing that the command reads.

    Args:
        outputs: files to be written. models: ONNX files; what they have beside them counts.
        inputs: other files, folders and data sets (``--data``) that are read.
    """
    read: list[str | Path] = [*models, *(path for model in models for path in files_beside(model))]
    for given in filter(None, inputs):  # a file, kind:FILE, or module.py:name
        read += [path for path in (given, given.partition(":")[2], given.rpartition(":")[0]) if path]
    written: dict[str, str] = {}
    for output in outputs:
        if output is not None:
            check_output(output, read)
            place = os.path.realpath(output)
            if place in written:
                raise OnnxqError(f"cannot write {output}: another output is the same file ({written[place]})")
            written[place] = output


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr (nothing where stderr is not a terminal)."""
    with click.progressbar(length=total, label=label, file=sys.stderr, width=30) as bar:
        yield bar.update


def report_skipped(loader: Loader | FeedLoader) -> None:
    """Name and count the images that were left out."""
    for message in loader.skipped[:5]:
        click.echo(f"warning: {message}", err=True)
    if loader.skipped:
        click.echo(f"warning: {len(loader.skipped)} images left out", err=True)


def write_json(path: str | None, content: object) -> None:
    """Write the ``--json`` file, if one was asked for."""
    if path is not None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain columns; the first is left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (headers, *rows)
    ]
    return "\n".join(line.rstrip() for line in (lines[0], "-" * len(lines[0]), *lines[1:]))


def printable(text: str) -> str:
    """Names of files and nodes without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def show_path(path: Path) -> str:
    """A path as short as it is clear."""
    return str(path) if len(str(path)) <= 48 else f"...{str(path)[-45:]}"


def describe_data(dataset: Dataset | FeedFiles | FeedFunction, count: int) -> str:
    """One line about the images in use."""
    if isinstance(dataset, FeedFiles | FeedFunction):
        return f"{count} images of {dataset.name}"
    return f"{count} of {len(dataset)} images from {dataset.name}"
