"""What a comparison says. A part of ``comparison``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ComparedOutput:
    """An output of a quantized file against that of the float one, over all images.

    Attributes:
        sqnr: 10 log10(sum of y^2 / sum of (y - y^)^2), in dB; infinite where nothing differs, minus infinite where NaN
            or infinity stands against a number.
        cosine: of the angle between all values of both, as vectors. largest: |y - y^|. All None where no batch counts.
        same_argmax: share of images with the same largest of their values, where the output is [images, values].
        shapes_differ: on so many batches it had another shape, as the boxes that a detector keeps: they do not count.
    """

    name: str
    sqnr: float | None
    cosine: float | None
    largest: float | None
    same_argmax: float | None
    shapes_differ: int = 0


@dataclass(frozen=True)
class ComparedTensor:
    """A tensor inside both networks.

    Attributes:
        layer, op: the node that makes it.
        alone: SQNR in dB where what makes it is quantized, on what the float network has before; None where nothing
            between it and such tensors is.
        accumulated: SQNR in dB in the quantized network.
        reason: what is known of a low one; empty where nothing is.
    """

    name: str
    layer: str
    op: str
    alone: float | None
    accumulated: float
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Of one quantized file.

    Attributes:
        images: seen. outputs: in the order of the float network.
        tensors: worst first, alone, then accumulated; empty unless layers were asked for.
    """

    path: Path
    images: int
    outputs: tuple[ComparedOutput, ...]
    tensors: tuple[ComparedTensor, ...] = ()
