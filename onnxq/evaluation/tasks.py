"""What networks are for: the annotations that data has, and the metrics that judge. A part of ``evaluation``."""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.data.annotations import KINDS, AnnotatedImages
from onnxq.data.datasets.base import Purpose


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Attributes:
        metrics: names. annotations: the kind that the data has; '' for classes, or nothing.
    """

    metrics: tuple[str, ...]
    annotations: str = ""

    def open_dataset(self, spec: str, purpose: Purpose) -> AnnotatedImages | None:
        """The images that ``--data`` names with their annotations; None where the task wants none.

        Raises:
            OnnxqError: they cannot be read.
        """
        return KINDS[self.annotations](spec, purpose) if self.annotations else None


TASKS = {
    "classification": Task(("classification", "agreement")),
    "detection": Task(("detection",), "boxes"),
    "segmentation": Task(("segmentation",), "masks"),
    "ocr": Task(("ocr",), "text"),
    "none": Task(("distance",)),
}
