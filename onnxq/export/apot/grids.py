"""The grids that the published APoT system trains for: additive powers of two, plain ones, equal steps.

A part of ``export.apot``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.qparams import StaticParams
from onnxq.formats.affine import AffineParams
from onnxq.formats.codebook import CodebookParams
from onnxq.formats.powers_of_two import LevelSet, additive_levels, even_levels, levels_of, power_levels


@dataclass(frozen=True)
class Grid:
    """Levels from 0, or -1, to 1.

    Attributes:
        magnitudes: of so many bits, ascending, from 0 to 1.
    """

    magnitudes: LevelSet

    def levels(self, bits: int, *, signed: bool) -> NDArray[np.float32]:
        """float32 [2^bits - 1] (signed; ternary at 2 bits) or [2^bits], ascending."""
        return levels_of(self.magnitudes, bits, signed)

    def activation(self, threshold: float, bits: int) -> StaticParams:
        """Parameters of an input from 0 to a threshold."""
        return CodebookParams(np.array([threshold], np.float32), self.levels(bits, signed=False))


class EvenGrid(Grid):
    """Equal steps, rounded half to even (``power=False``)."""

    def activation(self, threshold: float, bits: int) -> StaticParams:
        """As ``Grid.activation``."""
        scale = np.array([threshold / (2**bits - 1)], np.float32)
        return AffineParams(scale, np.zeros(1, np.float32), np.array([bits], np.int32))


GRIDS = {"apot": Grid(additive_levels), "pot": Grid(power_levels), "uniform": EvenGrid(even_levels)}
