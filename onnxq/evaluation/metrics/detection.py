"""Mean average precision of boxes, as COCO defines it, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.optional import optional
from onnxq.errors import OnnxqError
from onnxq.evaluation.decoding import Decoder, Found, decoder_named, fitting_decoders
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target

MOST = 100  # boxes of an image that are looked at
AREA = 1.0  # all boxes are of one kind, whatever their size


@METRICS.register("detection")
@dataclass
class Detection(Metric):
    """Mean average precision in percent: over overlaps of 0.5 to 0.95, and at 0.5.

    Attributes:
        decode: how outputs are written, a name of ``decoding.DECODERS`` or ``module.py:function``; '' for the first
            that fits.
    """

    columns: ClassVar[dict[str, str]] = {"mAP": ".2f", "mAP50": ".2f"}
    needs: ClassVar[str] = "boxes"
    headline: ClassVar[str] = "mAP50"
    counts: ClassVar[tuple[str, ...]] = ("images", "truths", "found")

    decode: str = ""
    decoder: Decoder | None = field(default=None, init=False)
    metadata: Mapping[str, str] = field(default_factory=dict, init=False)
    others: list[str] = field(default_factory=list, init=False)
    images: int = field(default=0, init=False)
    truths: list[dict[str, Any]] = field(default_factory=list, init=False)
    found: list[dict[str, Any]] = field(default_factory=list, init=False)

    def start(self, metadata: Mapping[str, str]) -> None:
        """As ``Metric.start``."""
        self.metadata = metadata
        if self.decode:
            self.decoder = decoder_named(self.decode)

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """As ``Metric.update``."""
        frame = target[0].frame
        if self.decoder is None:
            shapes = ", ".join(str(list(array.shape)) for array in outputs)
            names = fitting_decoders(reference or outputs, frame, self.metadata)
            if not names:
                raise OnnxqError(f"no way is known to read boxes from outputs of {shapes}: `decode` module.py:function")
            self.decode, *self.others = names
            self.decoder = decoder_named(self.decode)
        elif not self.decoder.fits(outputs, frame, self.metadata):
            shapes = ", ".join(str(list(array.shape)) for array in outputs)
            raise OnnxqError(f"outputs of {shapes} are not written as `decode` {self.decode} has them")
        by_id, images = self.decoder.by_id, self.decoder.decode(outputs, frame, self.metadata)
        if len(images) != len(target):
            raise OnnxqError(
                f"`decode` {self.decode} has found boxes of {len(images)} images in a batch of {len(target)}; "
                "files that choose boxes themselves run with a batch size of 1"
            )
        for own, true in zip(images, target, strict=True):
            self.images += 1
            kinds = true.ids if by_id else true.classes
            for box, kind, crowd in zip(true.corners, kinds, true.crowd, strict=True):
                self.truths.append({**_entry(self.images, box, int(kind)), "iscrowd": int(crowd), "area": AREA})
            self._take(own, true.bounds)

    def _take(self, own: Found, bounds: NDArray[np.float64]) -> None:
        """What is found in the image: boxes end with it, as those of data sets do."""
        corners = np.clip(own.corners, np.tile(bounds[:2], 2), np.tile(bounds[2:], 2))
        kept = np.isfinite(corners).all(axis=1) & np.isfinite(own.scores)
        kept &= (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        corners, scores, classes = corners[kept], own.scores[kept], own.classes[kept]
        best = np.argsort(-scores, kind="stable")[:MOST]
        for box, score, kind in zip(corners[best], scores[best], classes[best], strict=True):
            self.found.append({**_entry(self.images, box, int(kind)), "score": float(score)})

    def take_in(self, counted: Mapping[str, Any]) -> None:
        """As ``Metric.take_in``; images are numbered on."""
        truths, found = (
            [{**entry, "image_id": entry["image_id"] + self.images} for entry in counted[name]]
            for name in ("truths", "found")
        )
        super().take_in({**counted, "truths": truths, "found": found})

    def result(self) -> dict[str, float]:
        """As ``Metric.result``."""
        overall, at_half = self._precision(by_class=True)
        return {"mAP": overall, "mAP50": at_half, "boxes": len(self.truths), "found": len(self.found)}

    def least(self) -> float:
        """Of published detectors the weakest are above 30."""
        return 3.0

    def suspicion(self) -> str:
        """Classes that are numbered otherwise, or another way to read the outputs."""
        _, at_half = self._precision(by_class=False)
        if at_half > 2 * self.least():
            return f"boxes are right ({at_half:.0f} % whatever the class): are classes numbered otherwise?"
        others = f", or is it {' or '.join(self.others)} (`decode`)?" if self.others else "?"
        return f"its outputs were read as {self.decode}: is that so{others}"

    def _precision(self, *, by_class: bool) -> tuple[float, float]:
        """In percent; NaN where the data has no box."""
        optional("pycocotools", "detection", "the metric detection needs pycocotools")
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        if not self.truths:
            return float("nan"), float("nan")
        truths, found = ([dict(entry) for entry in entries] for entries in (self.truths, self.found))
        if not by_class:
            for entry in (*truths, *found):
                entry["category_id"] = 0
        kinds = sorted({entry["category_id"] for entry in truths})
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            true = COCO()
            true.dataset = {
                "images": [{"id": number} for number in range(1, self.images + 1)],
                "categories": [{"id": kind} for kind in kinds],
                "annotations": [{"id": number, **entry} for number, entry in enumerate(truths, start=1)],
            }
            true.createIndex()
            own = COCO()
            own.dataset = {
                **true.dataset,
                "annotations": [
                    {"id": number, "area": AREA, "iscrowd": 0, **entry} for number, entry in enumerate(found, start=1)
                ],
            }
            own.createIndex()
            judge = COCOeval(true, own, "bbox")
            judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
            judge.evaluate()
            judge.accumulate()
        precision = judge.eval["precision"][..., 0, -1]  # [overlaps, recalls, classes]
        known = precision > -1
        return (
            100 * float(precision[known].mean()) if known.any() else float("nan"),  # groups alone
            100 * float(precision[0][known[0]].mean()) if known[0].any() else float("nan"),
        )


def _entry(image: int, box: Any, kind: int) -> dict[str, Any]:
    left, top, right, bottom = (float(value) for value in box)
    return {"image_id": image, "category_id": kind, "bbox": [left, top, right - left, bottom - top]}
