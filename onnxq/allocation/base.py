"""What an allocation of bits to channels is. A part of ``allocation``; recipes name them, ``decide`` calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.registry import Registry

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]

MAX_BITS = 8
WIDTHS = MAX_BITS + 1  # 0 .. 8


@dataclass(frozen=True)
class Allocation:
    """Bits for each channel, so that the mean width is what was asked for."""

    gives_widths = True

    @property
    def by_deviation(self) -> bool:
        """Whether the spread of an activation is its mean absolute deviation, not sigma."""
        return False

    def problems(self) -> list[str]:
        """What is wrong with its parameters, a sentence each."""
        return []

    def widths(
        self, spread: FloatArray, error: Callable[[], FloatArray], bits: float, most: int = MAX_BITS
    ) -> BitArray:
        """The width of each channel, int32 [C], each between 0 and ``most``.

        Args:
            spread: float64 [C], sigma of each channel (of activations: before the ReLU).
            error: gives float64 [C, 9], the squared error that each channel causes at widths 0 to 8.
            bits: the mean width, 0 to ``most``. most: 8, or less.
        """
        raise NotImplementedError

    def published(self) -> Allocation:
        """The published systems' allocation in the place of this one."""
        return ALLOCATIONS.parse("published")


ALLOCATIONS: Registry[Allocation] = Registry("bit allocation", "onnxq.allocation")


@ALLOCATIONS.register("none")
@dataclass(frozen=True)
class Same(Allocation):
    """All channels have the same bits."""

    gives_widths = False

    def published(self) -> Allocation:
        """Itself."""
        return self


def budget_of(channels: int, bits: float, most: int = MAX_BITS) -> int:
    """Bits to spend on all channels together."""
    return int(np.floor(channels * min(bits, most) + 1e-9))
