"""Metrics: what is said of a file's outputs. One class a metric, one file each; ``evaluate`` drives them.

A part of ``evaluation``. A metric is a dataclass, registered by ``METRICS.register(name)``; a fresh one is made for
each file.
"""

from collections.abc import Mapping

from onnxq.evaluation.metrics.agreement import Agreement
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target
from onnxq.evaluation.metrics.classification import Classification
from onnxq.evaluation.metrics.detection import Detection
from onnxq.evaluation.metrics.distance import Distance
from onnxq.evaluation.metrics.segmentation import Segmentation
from onnxq.evaluation.metrics.text import Text

__all__ = [
    "DEFAULT",
    "METRICS",
    "Agreement",
    "Chosen",
    "Classification",
    "Detection",
    "Distance",
    "Metric",
    "Outputs",
    "Segmentation",
    "Target",
    "Text",
    "usual_metrics",
]

Chosen = str | Mapping[str, object]  # a metric by its name, or the name with parameters
DEFAULT = ("classification", "agreement")
WITHOUT_LABELS = ("distance",)


def usual_metrics(classes: int) -> tuple[str, ...]:
    """What is measured unless asked otherwise, on data of so many classes; of 0 where there are no labels."""
    return DEFAULT if classes else WITHOUT_LABELS
