"""TensorRT: symmetric INT8 with the zero point 0 throughout, biases in float. A target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.granularity import Granularity
from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("tensorrt")
@dataclass(frozen=True)
class TensorRT(Target):
    """Layers must read 8-bit inputs."""

    writer: ClassVar[str] = "qdq"
    points: ClassVar[tuple[str, ...]] = ("inputs", "integer")
    formats: ClassVar[tuple[str, ...]] = ("affine", "symmetric", "signed")
    act_granularity: ClassVar[Granularity] = Granularity.PER_TENSOR
    only_per_tensor: ClassVar[bool] = True
    bits_per_channel: ClassVar[bool] = False
    corrected_weights: ClassVar[bool] = False
    dynamic_ranges: ClassVar[bool] = False
    bits: ClassVar[tuple[int, ...] | None] = (8,)
    symmetric_weights: ClassVar[bool] = True
    symmetric_activations: ClassVar[bool] = True
