"""Standard QuantizeLinear and DequantizeLinear at the inputs or the outputs of layers. A target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("qdq")
@dataclass(frozen=True)
class Qdq(Target):
    """Valid ONNX for any runtime; integer kernels want more (``onnxruntime``, ``tensorrt``)."""

    writer: ClassVar[str] = "qdq"
    points: ClassVar[tuple[str, ...]] = ("inputs", "outputs")
    formats: ClassVar[tuple[str, ...]] = ("affine",)
    bits_per_channel: ClassVar[bool] = False
    corrected_weights: ClassVar[bool] = False
    dynamic_ranges: ClassVar[bool] = False
    zero_in_range: ClassVar[bool] = True
