"""Qualcomm's NPU by ONNX Runtime's QNN provider: codes everywhere, shapes without free sizes. A target.

Facts from the provider's documentation; a device was not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.recipe.targets.base import TARGETS, IntegerTarget
from onnxq.recipe.targets.onnxruntime import OnnxRuntime


@TARGETS.register("qnn")
@dataclass(frozen=True)
class Qnn(IntegerTarget):
    """UINT8 activations, centred INT8 weights; what has no quantizer at its output is computed elsewhere."""

    points: ClassVar[tuple[str, ...]] = ("integer",)
    formats: ClassVar[tuple[str, ...]] = ("affine", "symmetric", "signed")
    affine_weights: ClassVar[str] = "signed"
    zero_in_range: ClassVar[bool] = True
    integer_biases: ClassVar[bool] = True
    quantized_outputs: ClassVar[tuple[str, ...]] = ("Conv", "ConvTranspose", "Gemm", "MatMul")
    fixed_shapes: ClassVar[bool] = True
    fused_operators: ClassVar[tuple[str, ...]] = OnnxRuntime.fused_operators
    moving_operators: ClassVar[tuple[str, ...]] = OnnxRuntime.moving_operators
