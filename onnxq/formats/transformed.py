"""Levels that are evenly spaced behind a transformation: minmax (none), log, tanh. Formats, of weights only.

The fixed-point system's parent has them (minmax, log and tanh quantization): x is transformed, rounded to one of n + 1
equal steps, and transformed back. Nearest is nearest there, not on the scale of the weights. The first and the last
layer are like the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.formats.base import FORMATS, Format
from onnxq.formats.codebook import CodebookWeightParams

Float32 = NDArray[np.float32]
FloatArray = NDArray[np.float64]
SMALLEST = 1e-20  # what the published system adds to magnitudes before their logarithm


@dataclass(frozen=True)
class BoundedCodebook(CodebookWeightParams):
    """A codebook whose bounds lie elsewhere than in the middle.

    Attributes:
        bounds: float64 [C, K - 1], ascending; a value on one gets the upper level.
    """

    bounds: FloatArray

    def codes(self, weight: Float32) -> NDArray[np.uint8]:
        """As ``WeightParams.codes``."""
        rows = weight.reshape(len(self.bounds), -1).astype(np.float64)
        found = [np.searchsorted(bounds, row, side="right") for bounds, row in zip(self.bounds, rows, strict=True)]
        return np.stack(found).astype(np.uint8).reshape(weight.shape)


@dataclass(frozen=True)
class _Transformed(Format):
    of_activations: ClassVar[bool] = False

    def at_ends(self, bits: int | None, own: float) -> tuple[Format, float]:
        """The same, at the same bits unless others are asked for."""
        return self, own if bits is None else bits

    def fit_weight(self, rows: Float32, bits: float) -> BoundedCodebook:
        """Levels of each row [C, n], or of the whole weight [1, n]."""
        made = [self._levels_and_bounds(row.astype(np.float64), int(bits)) for row in rows]
        levels = np.stack([levels for levels, _ in made]).astype(np.float32)
        bounds = np.stack([bounds for _, bounds in made])
        return BoundedCodebook(levels, np.ones(1, np.float32), np.zeros(1, np.float32), int(bits), bounds)

    def _levels_and_bounds(self, row: FloatArray, bits: int) -> tuple[FloatArray, FloatArray]:
        """2^bits ascending levels, and the bounds between them."""
        raise NotImplementedError


def _even(low: float, high: float, count: int) -> tuple[FloatArray, FloatArray]:
    """``count`` equal steps, and the middles between them."""
    levels = np.linspace(low, high, count)
    return levels, (levels[1:] + levels[:-1]) / 2


@FORMATS.register("even-minmax")
@dataclass(frozen=True)
class EvenMinMax(_Transformed):
    """Equal steps from the smallest weight to the largest; zero need not be one of them."""

    def _levels_and_bounds(self, row: FloatArray, bits: int) -> tuple[FloatArray, FloatArray]:
        return _even(row.min(), row.max(), 2**bits)


@FORMATS.register("log")
@dataclass(frozen=True)
class Logarithmic(_Transformed):
    """Equal steps of log|x|, from the smallest magnitude to the largest, and a sign."""

    def _levels_and_bounds(self, row: FloatArray, bits: int) -> tuple[FloatArray, FloatArray]:
        logs = np.log(np.abs(row) + SMALLEST)
        levels, bounds = (np.exp(values) for values in _even(logs.min(), logs.max(), 2 ** (bits - 1)))
        return np.concatenate([-levels[::-1], levels]), np.concatenate([-bounds[::-1], [0.0], bounds])


@FORMATS.register("tanh")
@dataclass(frozen=True)
class HyperbolicTangent(_Transformed):
    """Equal steps of tanh(x) from -1 to 1, whatever the weights.

    The published outermost levels are infinite; here they are in the middle of what is rounded to them.
    """

    def _levels_and_bounds(self, row: FloatArray, bits: int) -> tuple[FloatArray, FloatArray]:
        levels, bounds = _even(-1, 1, 2**bits)
        end = 1 - (levels[1] - levels[0]) / 4
        return np.arctanh(np.clip(levels, -end, end)), np.arctanh(bounds)
