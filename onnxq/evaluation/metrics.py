"""Metrics: what is said of a file's outputs. One class a metric; ``evaluate`` drives them.

A part of ``evaluation``. A metric is a dataclass, registered by ``METRICS.register(name)``; a fresh one is made for
each file. What it counts are fields with ``init=False``, so that no recipe can set them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.registry import Registry
from onnxq.errors import OnnxqError

Outputs = Sequence[NDArray[Any]]  # of one batch, in the order of the model, of any shapes


@dataclass
class Metric:
    """Counts over batches, and what follows from them.

    Attributes:
        columns: heading -> how ``result`` of that key is shown, as a format specification.
        compares: it says how a file differs from the first one, of which it says nothing.
        needs_labels: it compares outputs with labels.
    """

    columns: ClassVar[dict[str, str]] = {}
    compares: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False

    def update(self, outputs: Outputs, reference: Outputs, target: NDArray[np.int64]) -> None:
        """Take one batch into account.

        Args:
            outputs: of this file. reference: of the first file. target: the labels, int64 [N]; -1 where there are none.

        Raises:
            OnnxqError: outputs or labels are not what the metric is for.
        """
        raise NotImplementedError

    def result(self) -> dict[str, float]:
        """What there is to say, by name: the columns, and what else is worth writing down."""
        raise NotImplementedError


METRICS: Registry[Metric] = Registry("metric", "onnxq.evaluation.metrics")
DEFAULT = ("classification", "agreement")


def class_scores(outputs: Outputs, images: int) -> NDArray[np.float32]:
    """The first output as scores [images, classes].

    Raises:
        OnnxqError: it has another shape.
    """
    scores: NDArray[np.float32] = outputs[0]
    if scores.ndim == 4 and scores.shape[2:] == (1, 1):
        scores = scores[:, :, 0, 0]
    if scores.ndim != 2 or len(scores) != images:
        raise OnnxqError(f"the first output has shape {list(scores.shape)}; expected [images, classes]")
    return scores


def rank_of_label(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes score above the true one, or as high with a smaller index: 0 is a top-1 hit.

    Args:
        logits: float [N, classes]. labels: int64 [N].
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1])[None, :] < labels[:, None]
    # A NaN score is never a hit: it counts as below everything.
    above = (logits > own) | ((logits == own) & earlier) | np.isnan(own)
    return above.sum(axis=1)


@METRICS.register("classification")
@dataclass
class Classification(Metric):
    """Top-1 and top-5 in percent."""

    columns: ClassVar[dict[str, str]] = {"top1": ".2f", "top5": ".2f"}
    needs_labels: ClassVar[bool] = True

    images: int = field(default=0, init=False)
    correct: int = field(default=0, init=False)
    correct5: int = field(default=0, init=False)
    classes: int = field(default=0, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: NDArray[np.int64]) -> None:
        """As ``Metric.update``."""
        scores = class_scores(outputs, len(target))
        if target.max(initial=0) >= scores.shape[1]:
            raise OnnxqError(
                f"it knows {scores.shape[1]} classes, an image has class {target.max()}; "
                "is it the right data set, and does it need `classes`?"
            )
        rank = rank_of_label(scores, target)
        self.images += len(target)
        self.correct += int((rank == 0).sum())
        self.correct5 += int((rank < 5).sum())
        self.classes = scores.shape[1]

    def result(self) -> dict[str, float]:
        """As ``Metric.result``."""
        share = 100 / max(self.images, 1)
        counts = {"correct": self.correct, "correct5": self.correct5, "classes": self.classes}
        return {"top1": share * self.correct, "top5": share * self.correct5, **counts}


@METRICS.register("agreement")
@dataclass
class Agreement(Metric):
    """On how many images the first class differs from the first file's; it needs no labels."""

    columns: ClassVar[dict[str, str]] = {"differs": ".1f"}
    compares: ClassVar[bool] = True

    images: int = field(default=0, init=False)
    disagreements: int = field(default=0, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: NDArray[np.int64]) -> None:
        """As ``Metric.update``."""
        own, first = (class_scores(values, len(target)).argmax(axis=1) for values in (outputs, reference))
        self.images += len(target)
        self.disagreements += int((own != first).sum())

    def result(self) -> dict[str, float]:
        """As ``Metric.result``; ``differs`` in percent."""
        return {"differs": 100 * self.disagreements / max(self.images, 1), "disagreements": self.disagreements}


@METRICS.register("distance")
@dataclass
class Distance(Metric):
    """Signal to quantization noise of all outputs together, in dB, against the first file; of outputs of any shape."""

    columns: ClassVar[dict[str, str]] = {"sqnr": ".1f"}
    compares: ClassVar[bool] = True

    signal: float = field(default=0.0, init=False)
    noise: float = field(default=0.0, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: NDArray[np.int64]) -> None:
        """As ``Metric.update``."""
        for own, first in zip(outputs, reference, strict=True):
            if own.shape != first.shape:
                raise OnnxqError(f"an output has shape {list(own.shape)}, that of the first file {list(first.shape)}")
            exact = first.astype(np.float64)
            self.signal += float(np.square(exact).sum())
            self.noise += float(np.square(own.astype(np.float64) - exact).sum())

    def result(self) -> dict[str, float]:
        """As ``Metric.result``; infinite where nothing differs."""
        if self.noise == 0:
            return {"sqnr": float("inf")}
        return {"sqnr": 10 * float(np.log10(max(self.signal, 1e-300) / self.noise))}
