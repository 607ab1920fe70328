"""What a metric is. A part of ``evaluation``. What it counts are fields with ``init=False``: no recipe can set them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.registry import Registry
from onnxq.errors import OnnxqError

Outputs = Sequence[NDArray[Any]]  # of one batch, in the order of the model, of any shapes
Target = Any  # classes int64 [N], -1 where there are none; or an annotation (onnxq.data.annotations) of each image


@dataclass
class Metric:
    """Counts over batches, and what follows from them.

    Attributes:
        columns: heading -> how ``result`` of that key is shown, as a format specification.
        compares: it says how a file differs from the first one, of which it says nothing.
        needs: what it compares outputs with: 'classes', or a kind of annotation; '' for nothing.
        headline: the key of ``result`` that says whether a network works at all; '' where none does.
        counts: fields that add up over images: numbers, arrays, lists, and dicts of these. facts: fields that
            ``result`` needs beside, which are the same for all images. Without counts workers cannot share the images.
        fewer_is_better: of the first column.
    """

    columns: ClassVar[dict[str, str]] = {}
    compares: ClassVar[bool] = False
    needs: ClassVar[str] = ""
    headline: ClassVar[str] = ""
    counts: ClassVar[tuple[str, ...]] = ()
    facts: ClassVar[tuple[str, ...]] = ()
    fewer_is_better: ClassVar[bool] = False

    def start(self, metadata: Mapping[str, str]) -> None:
        """Take notice of what the file says of itself; called once, before the first batch."""

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """Take one batch into account.

        Args:
            outputs: of this file. reference: of the first file. target: what is known of each image.

        Raises:
            OnnxqError: outputs or labels are not what the metric is for.
        """
        raise NotImplementedError

    def result(self) -> dict[str, float]:
        """What there is to say, by name: the columns, and what else is worth writing down."""
        raise NotImplementedError

    def counted(self) -> dict[str, Any]:
        """What was counted so far, for ``take_in`` of another one."""
        return {name: getattr(self, name) for name in (*self.counts, *self.facts)}

    def take_in(self, counted: Mapping[str, Any]) -> None:
        """Add what another one counted on images behind those of this one."""
        for name in self.counts:
            setattr(self, name, _added(getattr(self, name), counted[name]))
        for name in self.facts:
            setattr(self, name, counted[name])

    def least(self) -> float:
        """What ``headline`` is at least of a network that works, and of images preprocessed as it wants them."""
        return 0.0

    def suspicion(self) -> str:
        """What may be wrong, other than preprocessing, where less was measured; '' without a clue."""
        return ""


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {key: _added(one[key], other[key]) if key in one and key in other else {**one, **other}[key]
                for key in {**one, **other}}  # fmt: skip
    return one + other


METRICS: Registry[Metric] = Registry("metric", "onnxq.evaluation.metrics")


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
