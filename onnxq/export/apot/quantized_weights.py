"""The weights of a trained APoT network as codes, in the published arithmetic. A part of ``export.apot``.

Li, Dong, Wang: "Additive powers-of-two quantization", ICLR 2020, and its released code. All in float32 and in the
order of torch's own operations, so that no weight changes its level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from onnxq.core.qparams import QuantizedWeight
from onnxq.errors import OnnxqError
from onnxq.formats.affine import MOST_PACKED, AffineParams
from onnxq.formats.codebook import CodebookWeightParams

Float32 = NDArray[np.float32]
WIDE = 16  # bits in the file of codes that are not packed
END_LEVELS = 127  # on each side, of the first and the last layer


@dataclass(frozen=True)
class GridWeight:
    """A weight on its grid: value = level * step, before batch norm.

    Attributes:
        levels: of each weight, float32 [C, ...]: one of ``grid``, or where that is None a whole number.
        step: what levels are multiplied by. grid: float32 [K], ascending and symmetric. bits: of the codes.
    """

    levels: Float32
    step: np.float32
    grid: Float32 | None
    bits: int

    @property
    def values(self) -> torch.Tensor:
        """What the network computes with, float32 [C, ...]."""
        return torch.from_numpy(self.levels * self.step)

    def behind(self, gain: NDArray[np.float64]) -> QuantizedWeight:
        """Codes of gain * values: batch norm folded into the scales.

        A negative gain turns codes round, so that scales stay positive. A gain of 0 leaves zeros.

        Args:
            gain: float64 [C].
        """
        shape = (-1, *[1] * (self.levels.ndim - 1))
        levels = self.levels * np.sign(gain).astype(np.float32).reshape(shape)
        scale = np.where(gain == 0, 1.0, np.abs(gain)).astype(np.float32) * self.step
        if self.grid is not None:
            codes = np.searchsorted(self.grid, levels).astype(np.uint8)
            return QuantizedWeight(
                codes, CodebookWeightParams(self.grid[None], scale, np.zeros(1, np.float32), self.bits)
            )
        rows = levels.reshape(len(levels), -1)
        first = rows.min(axis=1)
        widths = np.ceil(np.log2(rows.max(axis=1) - first + 1)).astype(np.int32)
        packs = int(widths.max()) <= MOST_PACKED
        codes = (levels - first.reshape(shape)).astype(np.uint8 if packs else np.uint16)
        return QuantizedWeight(codes, AffineParams(scale, -first, widths if packs else np.array([WIDE], np.int32)))


def on_levels(weight: torch.Tensor, threshold: float, grid: Float32, bits: int) -> GridWeight:
    """The nearest levels of (w - mean) / std, by the whole tensor, up to a threshold; the one nearer to zero on a tie.

    Args:
        weight: float32 [C, ...]. threshold: in standard deviations. grid: float32 [K], ascending, from -1 to 1.
    """
    normalized = weight.add(-weight.mean()).div(weight.std()).div(threshold).clamp(-1, 1).numpy()
    if not np.isfinite(normalized).all():
        raise OnnxqError("weights that are all the same, or not finite, have no levels")
    magnitudes = grid[grid >= 0]
    levels = np.empty_like(normalized)
    for row, place in zip(normalized, levels, strict=True):
        nearest = np.abs(np.abs(row)[..., None] - magnitudes).argmin(axis=-1)
        place[...] = np.copysign(magnitudes[nearest], row) + np.float32(0)
    return GridWeight(levels, np.float32(threshold), grid, bits)


def on_end_grid(weight: torch.Tensor) -> GridWeight:
    """The first and the last layer: multiples of m / 127, m the largest weight (not the largest magnitude).

    What lies below -m takes more than 127 steps.
    """
    largest = weight.max()
    if not torch.isfinite(weight).all() or float(largest) <= 0:
        raise OnnxqError("the first or the last layer has weights that are not finite, or none that is positive")
    levels = weight.div(largest).mul(END_LEVELS).round().numpy()
    if not levels.max() - levels.min() < 2**WIDE:
        raise OnnxqError("the largest weight is too small beside the smallest one: they take more than 65,536 steps")
    return GridWeight(levels, np.float32(float(largest) / END_LEVELS), None, MOST_PACKED)
