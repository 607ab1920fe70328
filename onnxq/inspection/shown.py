"""What is shown of a quantized file. A part of ``inspection``, made by ``show``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Range = tuple[float, float]
MOST_LEVELS = 256
STORED_BITS = {f"{sign}INT{bits}": bits for bits in (2, 4, 8, 16) for sign in ("", "U")}  # by type of codes


@dataclass(frozen=True)
class ShownTensor:
    """A weight or an activation of a quantized file.

    Attributes:
        name: the tensor. kind: 'weight' or 'activation'. layer: who reads the weight, or the activation first.
        format: the operator that makes it of codes, or the type of codes.
        widths: bits -> how many channels have them. scale: smallest and largest.
        range: smallest and largest value that it has (a weight), or can have (an activation); None where each batch
            has its own.
        threshold: largest magnitude of each channel, the smallest and the largest of these.
        deviations: the same in standard deviations of the channel; of activations in those of the calibrated tensor.
        values, bytes, zeros: how many values a weight has, what they take in the file, and which share is 0.
        first: its first values.
        levels: the values that its middle channel by threshold has (a weight), or can have; none of more than 256.
    """

    name: str
    kind: str
    layer: str
    format: str
    widths: Mapping[int, int]
    scale: Range | None
    range: Range | None
    threshold: Range | None
    deviations: Range | None = None
    values: int | None = None
    bytes: int | None = None
    zeros: float | None = None
    first: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()

    @property
    def bits(self) -> float | None:
        """Mean over channels."""
        return mean_width(self.widths)


@dataclass(frozen=True)
class Shown:
    """Of a file: its quantized tensors, and what was not looked at, a sentence each."""

    tensors: tuple[ShownTensor, ...]
    notes: tuple[str, ...]


def mean_width(widths: Mapping[int, int]) -> float | None:
    """Of so many channels of each width; None of none."""
    channels = sum(widths.values())
    return sum(width * count for width, count in widths.items()) / channels if channels else None


def range_of(values: NDArray[Any]) -> Range | None:
    """The smallest and the largest; None of nothing."""
    return (float(values.min()), float(values.max())) if values.size else None
