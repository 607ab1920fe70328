"""onnxq's own operators with packed weights: everything can be expressed. A target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("onnxq")
@dataclass(frozen=True)
class Onnxq(Target):
    """Files that run on any ONNX Runtime, and faster where onnxq's kernels are installed."""

    writer: ClassVar[str] = "onnxq"
    points: ClassVar[tuple[str, ...]] = (
        "inputs",
        "outputs",
        "published-outputs",
        "all-inputs",
        "every-op",
        "every-op-unfolded",
    )
