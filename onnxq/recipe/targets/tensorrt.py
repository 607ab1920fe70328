"""TensorRT: symmetric INT8 with the zero point 0 throughout, biases in float. A target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.recipe.targets.base import TARGETS, IntegerTarget


@TARGETS.register("tensorrt")
@dataclass(frozen=True)
class TensorRT(IntegerTarget):
    """Layers must read 8-bit inputs."""

    points: ClassVar[tuple[str, ...]] = ("inputs", "integer")
    formats: ClassVar[tuple[str, ...]] = ("affine", "symmetric", "signed")
    affine_weights: ClassVar[str] = "symmetric"
    affine_activations: ClassVar[str] = "signed"
    centred_activations: ClassVar[bool] = True
    signed_activations: ClassVar[bool] = True
    activation_types: ClassVar[tuple[str, ...]] = ("INT8",)
