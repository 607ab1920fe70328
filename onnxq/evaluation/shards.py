"""Files evaluated on parts of the data, by whoever has them; counts add up. A part of ``evaluation``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import NO_IMAGES, Evaluation, Tally, distinct, tallied
from onnxq.evaluation.metrics import METRICS, Chosen, Metric
from onnxq.graph.model_files import bytes_of
from onnxq.runtime.providers import provider_of


@dataclass(frozen=True)
class Counted:
    """What a part of the data says of some files.

    Attributes:
        images: in it. counts: of each file what each metric counted. seconds: of each file inside ONNX Runtime.
        provider: where they ran. skipped: about images that were left out.
    """

    images: int
    counts: tuple[tuple[Mapping[str, Any], ...], ...]
    seconds: tuple[float, ...]
    provider: str
    skipped: tuple[str, ...] = ()

    @staticmethod
    def of(tallies: Sequence[Tally], images: int, skipped: Sequence[str] = ()) -> Counted:
        """What the files' metrics have counted since they began."""
        counts = tuple(tuple(metric.counted() for metric in tally.metrics) for tally in tallies)
        seconds = tuple(tally.seconds for tally in tallies)
        return Counted(images, counts, seconds, provider_of(tallies[0].session), tuple(skipped))


def merged(metric: Chosen, counts: Iterable[Mapping[str, Any]]) -> Metric:
    """A metric that has counted what others did, in their order."""
    own = METRICS.parse(metric)
    for each in counts:
        own.take_in(each)
    return own


def check_adds_up(metrics: Sequence[Chosen]) -> None:
    """Before anything runs.

    Raises:
        OnnxqError: a metric does not say what of it adds up.
    """
    for name in metrics:
        if not METRICS.parse(name).counts:
            raise OnnxqError(f"the metric {name} does not say what of it adds up (`counts`): evaluate without `engine`")


def counted(paths: Sequence[str | Path], loader: Loader, metrics: Sequence[Chosen], provider: str) -> Counted:
    """As ``evaluate``, of a part of the data."""
    tallies, images = tallied(paths, loader, metrics=metrics, provider=provider)
    return Counted.of(tallies, images, loader.skipped)


def together(paths: Sequence[str | Path], parts: Sequence[Counted], metrics: Sequence[Chosen]) -> list[Evaluation]:
    """What all parts say, in their order; seconds are those of all workers together.

    Raises:
        OnnxqError: no part has images.
    """
    parts = [part for part in parts if part.images]
    if not parts:
        raise OnnxqError(NO_IMAGES)
    found = []
    for place, path in enumerate(map(Path, paths)):
        own = [merged(name, (part.counts[place][which] for part in parts)) for which, name in enumerate(metrics)]
        images, seconds = sum(part.images for part in parts), sum(part.seconds[place] for part in parts)
        values = distinct([metric.result() for metric in own])
        found.append(Evaluation(path, images, seconds, parts[0].provider, bytes_of(path), values))
    return found
