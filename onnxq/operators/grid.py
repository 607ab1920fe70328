"""What the output of a quantizer can be. A part of ``operators``, given by the file of each quantizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """Of a tensor as a whole (arrays of one value) or of each of its channels.

    Attributes:
        scale: what codes, or levels, are multiplied by. lower, upper: the outermost values. bits: of codes.
        levels: what is multiplied by ``scale``, of all channels; None where they are evenly spaced.
        whole_inside: values are whole multiples of ``scale``, but for the outermost.
    """

    scale: NDArray[Any]
    lower: NDArray[Any]
    upper: NDArray[Any]
    bits: NDArray[Any]
    levels: NDArray[Any] | None = None
    whole_inside: bool = False
