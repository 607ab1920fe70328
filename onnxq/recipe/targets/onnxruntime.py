"""What ONNX Runtime fuses into integer kernels on CPUs. A target.

UINT8 activations with one scale a tensor, symmetric weights with a scale for each output channel, which are made INT8
when the session loads; INT32 biases.
Measured with ONNX Runtime 1.31.1 (tests/recipe, tests/rewrite look at what it makes of the files).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.recipe.targets.base import TARGETS, IntegerTarget


@TARGETS.register("onnxruntime")
@dataclass(frozen=True)
class OnnxRuntime(IntegerTarget):
    """Files that run in integer kernels throughout."""

    runs_here: ClassVar[bool] = True
    points: ClassVar[tuple[str, ...]] = ("integer", "inputs", "outputs")
    formats: ClassVar[tuple[str, ...]] = ("affine", "symmetric", "signed")
    weight_bits: ClassVar[tuple[int, ...] | None] = (2, 3, 4, 5, 6, 7, 8)
    act_bits: ClassVar[tuple[int, ...] | None] = (4, 5, 6, 7, 8)
    affine_weights: ClassVar[str] = "signed"
    last_weight_bits: ClassVar[int] = 5  # often a fourth of all weights, and files are to be small
    between_bits: ClassVar[int] = 8  # sums and gates: 8 bits cost nothing there, fewer cost a clamp
    widest_exact_weights: ClassVar[int] = 7  # 8 bits saturate the 16-bit sums of pairs of x86 without VNNI
    zero_in_range: ClassVar[bool] = True
    bits_per_channel: ClassVar[bool] = True
    expands_weights: ClassVar[bool] = True
    most_streamed: ClassVar[int] = 2**24  # more take seconds, and gigabytes, to unpack
    clamps_codes: ClassVar[bool] = True
    integer_biases: ClassVar[bool] = True
    quantized_outputs: ClassVar[tuple[str, ...]] = ("Conv", "ConvTranspose")  # a Gemm or MatMul can return float
    fused_operators: ClassVar[tuple[str, ...]] = (
        *("Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "LeakyRelu", "Sigmoid", "HardSigmoid", "MatMul"),
    )
    moving_operators: ClassVar[tuple[str, ...]] = (
        *("MaxPool", "Flatten", "Reshape", "Slice", "Split", "Pad", "Squeeze", "Unsqueeze", "Transpose", "Resize"),
    )
    moves_codes: ClassVar[tuple[str, ...]] = ("Slice", "Pad")  # ONNX Runtime leaves these two in float
