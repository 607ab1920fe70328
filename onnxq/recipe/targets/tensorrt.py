"""TensorRT: symmetric INT8 with the zero point 0 throughout, biases in float. A target."""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.core.granularity import Granularity
from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("tensorrt")
@dataclass(frozen=True)
class TensorRT(Target):
    """Layers must read 8-bit inputs."""

    writer: str = "qdq"
    points: tuple[str, ...] = ("inputs", "integer")
    formats: tuple[str, ...] = ("affine", "symmetric", "signed")
    act_granularity: Granularity = Granularity.PER_TENSOR
    only_per_tensor: bool = True
    bits_per_channel: bool = False
    corrected_weights: bool = False
    dynamic_ranges: bool = False
    bits: tuple[int, ...] | None = (8,)
    symmetric_weights: bool = True
    symmetric_activations: bool = True
