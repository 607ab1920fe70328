"""Metrics of model files, side by side over one pass of the data. The entrance of ``evaluation``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.core.feeds import as_batch, is_finite
from onnxq.data.annotations import KINDS
from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics import DEFAULT, METRICS, Chosen, Metric, Target
from onnxq.graph.model_files import bytes_of, load_model, metadata
from onnxq.runtime.batches import There, check_batch, on_device, run
from onnxq.runtime.providers import provider_of
from onnxq.runtime.sessions import make_session

NO_IMAGES = "no images to evaluate on"
NAMES = {"classes": "labels", **{kind: kind for kind in KINDS}}  # of what metrics need


@dataclass
class Tally:
    """One file, and what its metrics counted so far.

    Attributes:
        chosen: its metrics. facts: what the file says of itself. metrics: what was counted since ``begin``.
        seconds: inside ONNX Runtime, likewise.
    """

    path: Path
    session: ort.InferenceSession
    chosen: Sequence[Chosen]
    facts: Mapping[str, str]
    metrics: list[Metric] = field(default_factory=list)
    seconds: float = 0.0

    def begin(self) -> None:
        """Count from nothing on."""
        self.metrics, self.seconds = [METRICS.parse(name) for name in self.chosen], 0.0
        for metric in self.metrics:
            metric.start(self.facts)


@dataclass(frozen=True)
class Evaluation:
    """What one file scored.

    Attributes:
        images: seen.
        values: what the metrics say, by name: for example ``top1`` and ``top5`` in percent, ``disagreements``.
        seconds: inside ONNX Runtime, without loading of images.
        size: of the file, in bytes.
    """

    path: Path
    images: int
    seconds: float
    provider: str
    size: int
    values: dict[str, float] = field(default_factory=dict)

    @property
    def top1(self) -> float:
        """Percent, where ``classification`` was measured."""
        return self.values["top1"]

    @property
    def top5(self) -> float:
        """Percent, likewise."""
        return self.values["top5"]

    @property
    def images_per_second(self) -> float:
        """Throughput of inference alone."""
        return self.images / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, object]:
        """The entry of this file in the command's ``--json`` output."""
        return {
            "path": str(self.path),
            **self.values,
            "images": self.images,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "provider": self.provider,
            "bytes": self.size,
        }


def evaluate(
    paths: Sequence[str | Path],
    batches: Iterable[Batch],
    *,
    metrics: Sequence[Chosen] = DEFAULT,
    provider: str = "auto",
    native: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Evaluation]:
    """Run files over the same images.

    Args:
        paths: ONNX files; the first is the reference of metrics that compare.
        batches: for example an ``onnxq.Loader``.
        metrics: names of metrics (``onnxq.evaluation.METRICS``), or mappings of a name to parameters.
        progress: called after each batch with the number of its images.

    Raises:
        OnnxqError: a file cannot be run, an image cannot be read, or outputs are not what a metric is for.
    """
    if isinstance(paths, (str, Path)) or not len(paths):
        raise TypeError("`paths` must be a list of files, at least one")
    tallies, images = tallied(paths, batches, metrics=metrics, provider=provider, native=native, progress=progress)
    if images == 0:
        raise OnnxqError(NO_IMAGES)
    return [
        Evaluation(
            path=tally.path,
            images=images,
            seconds=tally.seconds,
            provider=provider_of(tally.session),
            size=bytes_of(tally.path),
            values=distinct([metric.result() for metric in tally.metrics]),
        )
        for tally in tallies
    ]


def tallied(
    paths: Sequence[str | Path],
    batches: Iterable[Batch],
    *,
    metrics: Sequence[Chosen] = DEFAULT,
    provider: str = "auto",
    native: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Tally], int]:
    """What metrics counted, for each file, and on how many images; as ``evaluate``."""
    tallies = opened(paths, metrics, provider, native)
    images = 0
    for batch in batches:
        count = take_batch(tallies, batch, images)
        images += count
        if progress:
            progress(count)
    return tallies, images


def opened(
    paths: Sequence[str | Path], metrics: Sequence[Chosen], provider: str, native: bool | None = None
) -> list[Tally]:
    """Files that are ready to run, with nothing counted; as ``evaluate``."""
    tallies = []
    needs_facts = any(METRICS.parse(name).needs in KINDS for name in metrics)
    for path in map(Path, paths):
        if not path.is_file():
            raise OnnxqError(f"{path}: no such file")
        facts = metadata(load_model(path)) if needs_facts else {}
        tally = Tally(path, make_session(path, provider, native=native), metrics, facts)
        tally.begin()
        tallies.append(tally)
    return tallies


def take_batch(tallies: Sequence[Tally], batch: Batch, before: int) -> int:
    """Run files on a batch and count; returns how many images there are in it.

    Args:
        before: images, for what errors call those of this batch.
    """
    images = as_batch(batch.images)
    labels = _labels(batch, len(images), tallies[0].metrics)
    if not is_finite(images):
        raise OnnxqError(f"NaN or infinite values in images {before} to {before + len(images) - 1}")
    for tally in tallies:  # all files are on the same provider
        check_batch(tally.session, images, str(tally.path))
    images_there = on_device(images, tallies[0].session)
    reference: list[NDArray[Any]] | None = None
    for tally in tallies:
        outputs = _run(tally, images_there)
        reference = outputs if reference is None else reference
        for metric in tally.metrics:
            try:
                metric.update(outputs, reference, labels)
            except OnnxqError as error:
                raise OnnxqError(f"{tally.path}: {error}") from error
    return len(images)


def distinct(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """What metrics say, together: two that call it the same would hide each other."""
    names = [name for result in results for name in result]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OnnxqError(f"two metrics say {twice[0]!r}: call one of them otherwise, or measure them apart")
    return {name: value for result in results for name, value in result.items()}


FROM_TASK = "give `task`, or other data"


def _labels(batch: Batch, images: int, metrics: Sequence[Metric]) -> Target:
    """Of a batch; of one without any as many as there are images, -1."""
    labels = batch.labels
    kind = "" if labels is None else labels[0].kind if isinstance(labels, tuple) and labels else "classes"
    if wanting := [metric for metric in metrics if metric.needs not in ("", kind)]:
        raise OnnxqError(
            f"the metric {METRICS.name_of(wanting[0])} needs {NAMES[wanting[0].needs]}, which this data has not: "
            f"{FROM_TASK if wanting[0].needs in KINDS else 'take `metric` agreement or distance'}"
        )
    if labels is None:
        return np.full(images, -1, np.int64)
    if isinstance(labels, tuple):
        return labels
    if len(labels) != images or (images and np.min(labels) < 0):
        raise OnnxqError("labels must be numbers of classes from 0 on, one for each image")
    return labels


def _run(tally: Tally, images: There) -> list[NDArray[Any]]:
    """All outputs for a batch, timed."""
    names = [output.name for output in tally.session.get_outputs()]
    started = time.perf_counter()
    try:
        outputs = run(tally.session, names, images)
    except OnnxqError as error:
        raise OnnxqError(f"{tally.path}: {error}") from error
    tally.seconds += time.perf_counter() - started
    return outputs
