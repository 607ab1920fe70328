"""How files of a search are judged: what each loses beside the float one, give or take. A part of ``search``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError
from onnxq.evaluation.chance import counted_by_batch, standard_error
from onnxq.evaluation.evaluate import evaluate
from onnxq.evaluation.metrics import METRICS, Chosen, Metric
from onnxq.evaluation.shards import Counted, merged

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None] | None]]  # what, and of how many images
NO_JUDGE = "`max_drop` needs a metric that says how good a file is, or agreement"
DIFFERS = "differs"  # of metrics that compare, percent of images


def silent(label: str, images: int) -> AbstractContextManager[None]:
    """A stage that nobody sees."""
    return nullcontext()


def how_many(images: object) -> int:
    """For a stage; 0 where it is not known."""
    return len(images) if isinstance(images, Sized) else 0


@dataclass(frozen=True)
class Judge:
    """How files are judged.

    Attributes:
        path: the float model. batches: to evaluate on, gone through once for each file. metrics: of which the first
            that says how good a file is counts, else on how many images it differs. stage: is told of each pass.
    """

    path: Path
    batches: Iterable[Batch]
    metrics: Sequence[Chosen]
    provider: str = "auto"
    stage: Stage = silent

    _float: list[Counted] = field(default_factory=list, init=False)

    def check(self) -> None:
        """Whether the metrics can judge at all, on the first batch.

        Raises:
            OnnxqError: they cannot.
        """
        first = list(islice(self.batches, 1))
        try:
            evaluate([self.path], first, metrics=self.metrics, provider=self.provider)
        except OnnxqError as error:
            raise OnnxqError(f"{error}; `metric` or `task` says by what files are judged") from error
        self._metric()

    def lost(self, file: Path) -> tuple[float, float]:
        """By this file, beside the float one, which is run once where outputs need not be compared.

        Returns:
            What is lost, and its standard error, which is 0 where it is not known.

        Raises:
            OnnxqError: as ``evaluate``.
        """
        metric = self._metric()
        compares = METRICS.parse(metric).compares
        if not compares and not self._float:
            self._float.extend(self._counted([self.path], metric))
        own = self._counted([self.path, file] if compares else [file], metric)
        exact_parts = own if compares else self._float
        if [part.images for part in exact_parts] != [part.images for part in own]:
            raise OnnxqError("the data to judge on must be the same batches each time: another pass had other ones")
        parts = list(zip(exact_parts, own, strict=True))

        def value(some: Sequence[tuple[Counted, Counted]]) -> float:
            made = _value(metric, [part for _, part in some])
            if compares:
                return made
            exact = _value(metric, [part for part, _ in some])
            return made - exact if METRICS.parse(metric).fewer_is_better else exact - made

        lost = value(parts)
        if not math.isfinite(lost):  # of a file that is good for nothing
            return math.inf, 0.0
        return lost, standard_error(parts, value, [part.images for part in own])

    @property
    def float_value(self) -> float | None:
        """The metric of the float network; None where it is what others are compared with, or nothing was judged."""
        return _value(self._metric(), self._float) if self._float else None

    @property
    def metric_name(self) -> str:
        """What is judged by, as results have it."""
        return _key(METRICS.parse(self._metric()))

    def may_lose_all(self, most: float) -> bool:
        """Whether so much is all that the float network has: an own metric may be of 0 to 1, and not in percent."""
        value = self.float_value
        return value is not None and not METRICS.parse(self._metric()).fewer_is_better and most >= value

    def _metric(self) -> Chosen:
        """The one that counts."""
        known = [(metric, METRICS.parse(metric)) for metric in self.metrics]
        alone = [metric for metric, made in known if not made.compares]
        differs = [metric for metric, made in known if DIFFERS in made.columns]
        if not alone and not differs:
            raise OnnxqError(NO_JUDGE)
        metric = (alone or differs)[0]
        if not METRICS.parse(metric).counts:
            raise OnnxqError(
                f"the metric {metric} does not say what of it adds up over images: give its class `counts`"
            )
        return metric

    def _counted(self, files: Sequence[Path], metric: Chosen) -> list[Counted]:
        with self.stage("evaluating", how_many(self.batches)) as update:
            return counted_by_batch(files, self.batches, [metric], self.provider, update)


def _value(metric: Chosen, parts: Sequence[Counted]) -> float:
    """Of the last file."""
    together = merged(metric, (part.counts[-1][0] for part in parts))
    return together.result().get(_key(together), math.nan)


def _key(metric: Metric) -> str:
    """Of its results, the one that counts."""
    return DIFFERS if metric.compares else metric.headline or next(iter(metric.columns))
