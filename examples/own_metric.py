"""Metrics for `onnxq eval MODELS --data ... --metric own_metric.py:confidence --metric own_metric.py:Largest`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.evaluation import Metric


def confidence(outputs: list[Any], labels: Any) -> dict[str, float]:
    """Of a batch: the mean probability of the class that wins, and how often it is that of the label."""
    scores = outputs[0].astype(np.float64)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    winners = odds / odds.sum(axis=1, keepdims=True)
    return {"confidence": float(winners.max(axis=1).mean()), "hits": float((scores.argmax(axis=1) == labels).mean())}


@dataclass
class Largest(Metric):
    """The largest difference from the first file, over all images."""

    columns: ClassVar = {"largest": ".3f"}
    compares: ClassVar = True

    largest: float = 0.0

    def update(self, outputs: Any, reference: Any, target: Any) -> None:
        self.largest = max(self.largest, float(np.abs(outputs[0] - reference[0]).max()))

    def result(self) -> dict[str, float]:
        return {"largest": self.largest}
