"""Mean intersection over union of classes of pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target

CLASSES = 256  # of a mask of bytes; the last one is none
Counts = NDArray[np.int64]


@METRICS.register("segmentation")
@dataclass
class Segmentation(Metric):
    """Mean intersection over union of the classes that occur, and the share of pixels that are right, in percent."""

    columns: ClassVar[dict[str, str]] = {"mIoU": ".2f", "pixels": ".2f"}
    needs: ClassVar[str] = "masks"
    headline: ClassVar[str] = "mIoU"

    counts: Counts = field(default_factory=lambda: np.zeros((CLASSES, CLASSES), np.int64), init=False)
    classes: int = field(default=0, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """As ``Metric.update``."""
        if len({mask.classes.shape for mask in target}) > 1 or len(outputs[0]) != len(target):
            raise OnnxqError(f"the first output has shape {list(outputs[0].shape)}; expected [images, classes, H, W]")
        masks = np.stack([mask.classes for mask in target])
        own = self._classes(outputs[0], masks.shape[1:])
        known = masks < CLASSES - 1
        self.counts += np.bincount(
            masks[known].astype(np.int64) * CLASSES + own[known], minlength=CLASSES * CLASSES
        ).reshape(CLASSES, CLASSES)

    def _classes(self, output: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.int64]:
        """Scores [N, classes, h, w], one map of scores [N, 1, h, w], or class numbers [N, h, w], as [N, H, W]."""
        import torch
        from torch.nn.functional import interpolate

        if output.ndim == 4 and output.dtype.kind == "f":
            scores = output.astype(np.float32)
            if scores.shape[2:] != size:
                scores = interpolate(torch.from_numpy(scores), size=size, mode="bilinear", align_corners=False).numpy()
            self.classes = max(scores.shape[1], 2)
            if scores.shape[1] == 1:
                return (scores[:, 0] > (0 if (scores < 0).any() else 0.5)).astype(np.int64)
            own = scores.argmax(axis=1)
        elif output.ndim in (3, 4) and output.dtype.kind in "iu" and output.shape[-2:] == size:
            own = output.reshape(len(output), *size).astype(np.int64)
            self.classes = max(self.classes, int(own.max(initial=0)) + 1)
        else:
            raise OnnxqError(f"the first output has shape {list(output.shape)}; expected [images, classes, H, W]")
        if self.classes >= CLASSES:
            raise OnnxqError(f"{self.classes} classes; masks of bytes have {CLASSES - 1} at most")
        return own

    def result(self) -> dict[str, float]:
        """As ``Metric.result``."""
        return {"mIoU": _mean_iou(self.counts), "pixels": 100 * self._right() / max(int(self.counts.sum()), 1)}

    def _right(self) -> int:
        return int(np.trace(self.counts))

    def least(self) -> float:
        """Above what one class everywhere gets."""
        return 100 / max(self.classes, 2) + 3

    def suspicion(self) -> str:
        """Classes that are numbered otherwise by one."""
        for shift in (-1, 1):
            if _mean_iou(np.roll(self.counts, shift, axis=1)) > self.least():
                return (
                    "its classes are the masks' numbered otherwise by one: has one of them a class for the background?"
                )
        return "are its classes in the order of the masks' numbers?"


def _mean_iou(counts: Counts) -> float:
    """In percent, of [truth, own] counts; over classes that occur in either."""
    both = np.diag(counts)
    either = counts.sum(axis=0) + counts.sum(axis=1) - both
    occurring = either > 0
    return 100 * float((both[occurring] / either[occurring]).mean()) if occurring.any() else 0.0
