"""What ONNX Runtime fuses into integer kernels on CPUs. A target.

UINT8 activations with one scale a tensor, symmetric INT8 weights with a scale for each output channel, INT32 biases.
Measured with ONNX Runtime 1.31.1 (tests/recipe, tests/rewrite look at what it makes of the files).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.granularity import Granularity
from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("onnxruntime")
@dataclass(frozen=True)
class OnnxRuntime(Target):
    """Files that run in integer kernels throughout."""

    writer: ClassVar[str] = "qdq"
    points: ClassVar[tuple[str, ...]] = ("integer",)
    formats: ClassVar[tuple[str, ...]] = ("affine", "symmetric")
    act_granularity: ClassVar[Granularity] = Granularity.PER_TENSOR
    only_per_tensor: ClassVar[bool] = True
    bits_per_channel: ClassVar[bool] = False
    corrected_weights: ClassVar[bool] = False
    dynamic_ranges: ClassVar[bool] = False
    bits: ClassVar[tuple[int, ...] | None] = (8,)
    symmetric_weights: ClassVar[bool] = True
    zero_in_range: ClassVar[bool] = True
    integer_biases: ClassVar[bool] = True
    fused_operators: ClassVar[tuple[str, ...]] = (
        *("Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "LeakyRelu", "Sigmoid"),
    )
    moving_operators: ClassVar[tuple[str, ...]] = (
        *("MaxPool", "Flatten", "Reshape", "Slice", "Pad", "Squeeze", "Unsqueeze", "Transpose"),
    )
    moves_codes: ClassVar[tuple[str, ...]] = (
        "Slice",
        "Pad",
    )  # ONNX Runtime leaves these two in float, unlike the others
