"""What is found about a file. A part of ``inspection``, made by ``check``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CheckedLayer:
    """A Conv, ConvTranspose, Gemm or MatMul.

    Attributes:
        why: it computes in float; empty where it computes with integers.
    """

    name: str
    op: str
    why: str


@dataclass(frozen=True)
class Check:
    """A file as one runtime sees it.

    Attributes:
        layers: in order. others: operators between them that compute in float, how many of each.
        activations, weights: how many tensors have which type.
        bytes: size of the file. load_seconds: that a session took; None where the runtime was not asked.
        problems: that the runtime has with the file, or is likely to have, a sentence each.
    """

    target: str
    opset: int
    bytes: int
    load_seconds: float | None
    layers: tuple[CheckedLayer, ...]
    others: Mapping[str, int]
    activations: Mapping[str, int]
    weights: Mapping[str, int]
    problems: tuple[str, ...]

    @property
    def in_float(self) -> tuple[CheckedLayer, ...]:
        """The layers that compute in float."""
        return tuple(layer for layer in self.layers if layer.why)
