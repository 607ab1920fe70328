"""Evaluation by the workers of a Ray cluster. A part of ``eval``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.data.shards import shards
from onnxq.evaluation.evaluate import Evaluation
from onnxq.evaluation.given_metric import metric_name
from onnxq.evaluation.metrics import Chosen
from onnxq.evaluation.shards import Counted, check_adds_up, counted, together
from onnxq_cli.engines import all_on_ray

Task = tuple[Sequence[str], Loader, Sequence[Chosen], str]


def shared_out(
    models: Sequence[str],
    loader: Loader | FeedLoader,
    metrics: Sequence[Chosen],
    provider: str,
    count: int,
    address: str | None,
    update: Callable[[int], None],
) -> list[Evaluation]:
    """As ``onnxq.evaluate``, its images in ``count`` parts.

    Raises:
        OnnxqError: as there, or a metric does not add up.
    """
    check_adds_up(metrics)
    paths = [str(Path(model).resolve()) for model in models]
    tasks: list[Task] = [(paths, part, metrics, provider) for part in shards(loader, count)]
    done = all_on_ray(work, tasks, address, provider, lambda part: update(part.images))
    loader.skipped.extend(message for part in done for message in part.skipped)
    return together(models, done, metrics)


def work(task: Task) -> Counted:
    """One part, wherever this is; metrics of one's own are imported there."""
    paths, loader, metrics, provider = task
    for name in metrics:
        metric_name(name if isinstance(name, str) else next(iter(name)))
    return counted(paths, loader, metrics, provider)
