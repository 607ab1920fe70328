"""What ONNX Runtime fuses into integer kernels on CPUs. A target.

UINT8 activations with one scale a tensor, symmetric INT8 weights with a scale for each output channel, INT32 biases.
Measured with ONNX Runtime 1.31.1 (tests/recipe, tests/rewrite look at what it makes of the files).
"""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.core.granularity import Granularity
from onnxq.core.target import Target
from onnxq.recipe.targets.base import TARGETS


@TARGETS.register("onnxruntime")
@dataclass(frozen=True)
class OnnxRuntime(Target):
    """Files that run in integer kernels throughout."""

    writer: str = "qdq"
    points: tuple[str, ...] = ("integer",)
    formats: tuple[str, ...] = ("affine", "symmetric")
    act_granularity: Granularity = Granularity.PER_TENSOR
    only_per_tensor: bool = True
    bits_per_channel: bool = False
    corrected_weights: bool = False
    dynamic_ranges: bool = False
    bits: tuple[int, ...] | None = (8,)
    symmetric_weights: bool = True
    zero_in_range: bool = True
    integer_biases: bool = True
    fused_operators: tuple[str, ...] = (
        *("Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "LeakyRelu", "Sigmoid"),
    )
    moving_operators: tuple[str, ...] = (
        *("MaxPool", "Flatten", "Reshape", "Slice", "Pad", "Squeeze", "Unsqueeze", "Transpose"),
    )
    moves_codes: tuple[str, ...] = ("Slice", "Pad")  # ONNX Runtime leaves these two in float, unlike the others
