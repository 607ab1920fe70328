"""How often a file says another class than the first one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target, class_scores


@METRICS.register("agreement")
@dataclass
class Agreement(Metric):
    """On how many images the first class differs from the first file's; it needs no labels."""

    columns: ClassVar[dict[str, str]] = {"differs": ".1f"}
    compares: ClassVar[bool] = True
    counts: ClassVar[tuple[str, ...]] = ("images", "disagreements")
    fewer_is_better: ClassVar[bool] = True

    images: int = field(default=0, init=False)
    disagreements: int = field(default=0, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """As ``Metric.update``."""
        own, first = (class_scores(values, len(target)).argmax(axis=1) for values in (outputs, reference))
        self.images += len(target)
        self.disagreements += int((own != first).sum())

    def result(self) -> dict[str, float]:
        """As ``Metric.result``; ``differs`` in percent."""
        return {"differs": 100 * self.disagreements / max(self.images, 1), "disagreements": self.disagreements}
