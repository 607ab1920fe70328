"""What ONNX Runtime fuses into integer kernels on ARM processors. A target.

The same files but for signed activations: its kernels there multiply INT8 by INT8, without saturation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.recipe.targets.base import TARGETS
from onnxq.recipe.targets.onnxruntime import OnnxRuntime


@TARGETS.register("arm")
@dataclass(frozen=True)
class Arm(OnnxRuntime):
    """INT8 activations; slow on x86, where ONNX Runtime makes them UINT8 first."""

    signed_activations: ClassVar[bool] = True
    activation_types: ClassVar[tuple[str, ...]] = ("INT8",)
    widest_exact_weights: ClassVar[int] = 8
    session_entries: ClassVar[tuple[tuple[str, str], ...]] = (("session.qdqisint8allowed", "1"),)  # as it is on ARM
