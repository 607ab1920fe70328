"""What a clipping rule is. A part of ``clipping``; recipes name rules, formats call them with what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.observed import Interval, Observed
from onnxq.core.registry import Registry

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]
ALL = np.float32(1e30)  # a multiple of any spread that is wider than any range


@dataclass(frozen=True)
class Clipping:
    """How the range of an activation is chosen, with its own parameters.

    Attributes:
        symmetric: it can say how far a symmetric range reaches (``threshold``).
        dynamic: it can be applied to each batch by itself (``multipliers``).
        only_symmetric: it knows symmetric ranges only.
    """

    symmetric: ClassVar[bool] = False
    dynamic: ClassVar[bool] = False
    only_symmetric: ClassVar[bool] = False

    def problems(self) -> list[str]:
        """What is wrong with its parameters, a sentence each."""
        return []

    @property
    def moving_percentile(self) -> float | None:
        """The percentile of |x| whose moving average over batches it needs (``calibrate(moving_percentile=...)``)."""
        return None

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """[lower, upper] of each channel.

        Args:
            observed: what is known of the tensor, C channels. bits: int32 [C], 0 to 8.

        Returns:
            float64 [C] each, finite, lower <= upper, in the units of the tensor.
        """
        raise NotImplementedError

    def threshold(self, observed: Observed) -> FloatArray | None:
        """The largest magnitude to keep, float64 [C]; None lets a symmetric format search for it."""
        return None

    def multipliers(self, bits: BitArray, half: bool) -> tuple[FloatArray, FloatArray] | None:
        """(alpha / b, alpha / sigma), float64 of the shape of ``bits``, of which one is zero; None unless ``dynamic``.

        Args:
            half: the range starts at zero.
        """
        return None

    def published(self, bits: float) -> Clipping:
        """The rule with the published systems' arithmetic, where that differs, for activations of ``bits``."""
        return self


CLIPPINGS: Registry[Clipping] = Registry("clipping rule", "onnxq.clipping")
