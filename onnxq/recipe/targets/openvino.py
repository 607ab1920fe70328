"""OpenVINO's CPU plugin: UINT8 or INT8 activations, centred INT8 weights, biases in float. A target.

Facts from OpenVINO's documentation (low precision transformations); OpenVINO itself was not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.recipe.targets.base import TARGETS, IntegerTarget
from onnxq.recipe.targets.onnxruntime import OnnxRuntime


@TARGETS.register("openvino")
@dataclass(frozen=True)
class OpenVino(IntegerTarget):
    """Layers read 8-bit codes; it finds out by itself which results can stay codes."""

    points: ClassVar[tuple[str, ...]] = ("integer", "inputs")
    formats: ClassVar[tuple[str, ...]] = ("affine", "symmetric", "signed")
    weight_bits: ClassVar[tuple[int, ...] | None] = (7, 8)
    affine_weights: ClassVar[str] = "signed"
    activation_types: ClassVar[tuple[str, ...]] = ("UINT8", "INT8")
    widest_exact_weights: ClassVar[int] = 7  # 8 bits saturate there, too, on x86 without VNNI
    zero_in_range: ClassVar[bool] = True
    fused_operators: ClassVar[tuple[str, ...]] = OnnxRuntime.fused_operators
    moving_operators: ClassVar[tuple[str, ...]] = OnnxRuntime.moving_operators
