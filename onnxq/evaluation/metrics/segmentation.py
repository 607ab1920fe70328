"""Mean intersection over union of classes of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.optional import optional
from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target

CLASSES = 256  # of a mask of bytes; the last one is none
MARGIN = 3.0  # percent
Counts = NDArray[np.int64]


@METRICS.register("segmentation")
@dataclass
class Segmentation(Metric):
    """Mean intersection over union of the classes that occur, and the share of pixels that are right, in percent."""

    columns: ClassVar[dict[str, str]] = {"mIoU": ".2f", "pixels": ".2f"}
    needs: ClassVar[str] = "masks"
    headline: ClassVar[str] = "mIoU"
    counts: ClassVar[tuple[str, ...]] = ("pairs", "ignored")
    facts: ClassVar[tuple[str, ...]] = ("above",)

    pairs: Counts = field(default_factory=lambda: np.zeros((CLASSES, CLASSES), np.int64), init=False)
    ignored: int = field(default=0, init=False)
    above: float | None = field(default=None, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """As ``Metric.update``; a pixel whose scores are not finite is wrong."""
        first = outputs[0]
        if first.ndim < 3 or len(first) != len(target) or len({mask.classes.shape for mask in target}) > 1:
            raise OnnxqError(f"the first output has shape {list(first.shape)}; expected [images, classes, H, W]")
        masks = np.stack([mask.classes for mask in target])
        if self.above is None and len(reference):  # the first file's scores tell, for all files
            self.above = 0.0 if (reference[0] < 0).any() else 0.5
        own = self._classes(first, masks.shape[1:])
        own = np.where((own >= 0) & (own < CLASSES - 1), own, CLASSES - 1)
        known = masks < CLASSES - 1
        self.ignored += int(known.size - known.sum())
        own_pairs = masks[known].astype(np.int64) * CLASSES + own[known]
        self.pairs += np.bincount(own_pairs, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)

    def _classes(self, output: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.int64]:
        """Scores [N, classes, h, w] or [N, H, W, classes], one map of scores, or class numbers, as [N, H, W]."""
        optional("torch", "torch", "masks of other sizes than the images need torch")
        import torch
        from torch.nn.functional import interpolate

        if output.dtype.kind in "iu" and output.shape[-2:] == size and output.size == len(output) * size[0] * size[1]:
            return output.reshape(len(output), *size).astype(np.int64)
        if output.dtype.kind != "f" or output.ndim != 4:
            raise OnnxqError(f"the first output has shape {list(output.shape)}; expected [images, classes, H, W]")
        scores = output.astype(np.float32)
        if scores.shape[1:3] == size and scores.shape[2:] != size:
            scores = np.moveaxis(scores, -1, 1)
        if scores.shape[2:] != size:
            scores = interpolate(torch.from_numpy(scores), size=size, mode="bilinear", align_corners=False).numpy()
        finite = np.isfinite(scores).all(axis=1)
        if scores.shape[1] == 1:
            return np.where(finite, scores[:, 0] > (self.above or 0.0), CLASSES).astype(np.int64)
        if scores.shape[1] >= CLASSES:
            raise OnnxqError(f"{scores.shape[1]} classes; masks of bytes have {CLASSES - 1} at most")
        return np.where(finite, scores.argmax(axis=1), CLASSES)

    def take_in(self, counted: Mapping[str, Any]) -> None:
        """As ``Metric.take_in``.

        Raises:
            OnnxqError: in one part scores looked like logits, in another one like probabilities.
        """
        if self.above is not None and counted["above"] not in (None, self.above):
            raise OnnxqError("parts of the data differ in whether scores are below zero: evaluate without `engine`")
        super().take_in({**counted, "above": self.above if counted["above"] is None else counted["above"]})

    def result(self) -> dict[str, float]:
        """As ``Metric.result``.

        Raises:
            OnnxqError: the masks have no other class than 0, but pixels of none: they were not written as numbers.
        """
        truth = self.pairs.sum(axis=1)
        if self.ignored and not truth[1:].any():
            raise OnnxqError(
                "the masks hold 0 and 255 alone, and 255 stands for no class: write numbers of classes, 1 for an object"
            )
        right = int(np.trace(self.pairs))
        return {"mIoU": _mean_iou(self.pairs), "pixels": 100 * right / max(int(self.pairs.sum()), 1)}

    def least(self) -> float:
        """A little more than the best of classes gets that is said everywhere."""
        truth = self.pairs.sum(axis=1)
        return 100 * float(truth.max() / max(truth.sum(), 1)) / max(int((truth > 0).sum()), 1) + MARGIN

    def suspicion(self) -> str:
        """Classes that are numbered otherwise by one."""
        for shift in (-1, 1):
            if _mean_iou(np.roll(self.pairs, shift, axis=1)) > self.least():
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
