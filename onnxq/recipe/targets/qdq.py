"""Standard QuantizeLinear and DequantizeLinear at the inputs or the outputs of layers. A target."""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("qdq")
@dataclass(frozen=True)
class Qdq(Target):
    """Valid ONNX for any runtime; integer kernels want more (``onnxruntime``, ``tensorrt``)."""

    writer: str = "qdq"
    points: tuple[str, ...] = ("inputs", "outputs")
    formats: tuple[str, ...] = ("affine",)
    bits_per_channel: bool = False
    corrected_weights: bool = False
    dynamic_ranges: bool = False
    zero_in_range: bool = True
