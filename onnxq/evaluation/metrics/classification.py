"""Top-1 and top-5: how often the class of the label has the highest score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target, class_scores


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


def least_top1(classes: float) -> float:
    """A little more than guessing gives, in percent."""
    chance = 100 / max(classes, 1)
    return chance + min(5.0, 9 * chance)


@METRICS.register("classification")
@dataclass
class Classification(Metric):
    """Top-1 and top-5 in percent."""

    columns: ClassVar[dict[str, str]] = {"top1": ".2f", "top5": ".2f"}
    needs: ClassVar[str] = "classes"
    headline: ClassVar[str] = "top1"
    counts: ClassVar[tuple[str, ...]] = ("images", "correct", "correct5", "shifted")
    facts: ClassVar[tuple[str, ...]] = ("classes",)

    images: int = field(default=0, init=False)
    correct: int = field(default=0, init=False)
    correct5: int = field(default=0, init=False)
    classes: int = field(default=0, init=False)
    shifted: dict[int, int] = field(default_factory=lambda: {-1: 0, 1: 0}, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
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
        first = scores.argmax(axis=1)
        for shift in self.shifted:
            self.shifted[shift] += int((first == target + shift).sum())

    def result(self) -> dict[str, float]:
        """As ``Metric.result``."""
        share = 100 / max(self.images, 1)
        counts = {"correct": self.correct, "correct5": self.correct5, "classes": self.classes}
        return {"top1": share * self.correct, "top5": share * self.correct5, **counts}

    def least(self) -> float:
        """As ``least_top1``."""
        return least_top1(self.classes)

    def suspicion(self) -> str:
        """Labels that are numbered otherwise by one."""
        shift, hits = max(self.shifted.items(), key=lambda pair: pair[1])
        if 100 * hits < self.least() * self.images:
            return "are the classes in the order of the labels?"
        return (
            f"with labels moved by {shift} it is right on {100 * hits / max(self.images, 1):.0f} %: has one of them a "
            "class for the background?"
        )
