"""The names of targets, and what those with integer kernels share. A part of ``recipe.targets``.

``onnxq.core.target`` says what a target is.
"""

from __future__ import annotations

from typing import ClassVar

from onnxq.core.granularity import Granularity
from onnxq.core.registry import Registry
from onnxq.core.target import Target

TARGETS: Registry[Target] = Registry("target", "onnxq.recipe.targets")


class IntegerTarget(Target):
    """Runtimes whose kernels compute with 8-bit codes: a scale for each tensor, and for each channel of a weight.

    Attributes:
        runs_here: it is the runtime that onnxq itself runs on, and can be asked what it makes of a file.
        activation_types: in which its kernels take activations.
        session_entries: entries of the session's configuration, by name, with which it does here as it does there.
    """

    runs_here: ClassVar[bool] = False
    activation_types: ClassVar[tuple[str, ...]] = ("UINT8",)
    session_entries: ClassVar[tuple[tuple[str, str], ...]] = ()
    centred_weights: ClassVar[bool] = True
    writer: ClassVar[str] = "qdq"
    act_granularity: ClassVar[Granularity] = Granularity.PER_TENSOR
    only_per_tensor: ClassVar[bool] = True
    bits_per_channel: ClassVar[bool] = False
    corrected_weights: ClassVar[bool] = False
    dynamic_ranges: ClassVar[bool] = False
    weight_bits: ClassVar[tuple[int, ...] | None] = (8,)
    act_bits: ClassVar[tuple[int, ...] | None] = (8,)
