"""Second moments of what a layer reads: all that rounding needs to know of images. A part of ``rounding``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.rounding.parallel import in_parallel

FloatArray = NDArray[np.float64]
Float32 = NDArray[np.float32]
BLOCK = 256  # columns of a product that one task computes


@dataclass(frozen=True)
class Moments:
    """Of the inputs x of a layer in the float network, and x^ in the quantized one, about their means.

    Attributes:
        count: samples.
        own: G = E[x^ x^T], float64 [g, d, d]. cross: C = E[x x^T], float64 [g, d, d], rows of x.
        mean_float, mean: of x and of x^, float64 [g, d].
    """

    count: int
    own: FloatArray
    cross: FloatArray
    mean_float: FloatArray
    mean: FloatArray

    def damped(self, share: float) -> FloatArray:
        """G with a share of its mean diagonal added to the diagonal; 1 where all of it is zero. float64 [g, d, d]."""
        result = self.own.copy()
        diagonal = np.einsum("gdd->gd", result)  # a view
        extra = share * diagonal.mean(axis=1)
        diagonal += np.where(extra > 0, extra, 1.0)[:, None]
        return result

    def about_zero(self) -> Moments:
        """The same about zero instead of the means, which are zero then: for layers whose bias cannot be changed."""
        own = self.own + self.mean[:, :, None] * self.mean[:, None, :]
        cross = self.cross + self.mean_float[:, :, None] * self.mean[:, None, :]
        return Moments(self.count, own, cross, np.zeros_like(self.mean), np.zeros_like(self.mean))


class MomentSums:
    """Sums that grow batch by batch, in float64; products of one batch are float32."""

    def __init__(self, groups: int, width: int) -> None:
        self.count = 0
        self._shifts: list[Float32] = []  # about the means, so that what is squared stays small
        self._sums = [np.zeros((groups, width)) for _ in range(2)]  # of x, of x^
        self._own, self._cross = (np.zeros((groups, width, width)) for _ in range(2))

    def add(self, x: Float32, quantized: Float32) -> None:
        """Take in samples, float32 [g, P, d] each."""
        if not x.shape[1]:
            return
        if not self._shifts:
            self._shifts = [values.mean(axis=1, keepdims=True) for values in (x, quantized)]
        x, quantized = x - self._shifts[0], quantized - self._shifts[1]
        self.count += x.shape[1]
        for total, values in zip(self._sums, (x, quantized), strict=True):
            total += values.sum(axis=1, dtype=np.float64)
        starts = range(0, x.shape[2], BLOCK)
        tasks = [(total, left, start) for total, left in ((self._own, quantized), (self._cross, x)) for start in starts]

        def product(task: tuple[FloatArray, Float32, int]) -> None:
            total, left, start = task
            columns = slice(start, start + BLOCK)
            with np.errstate(over="ignore", invalid="ignore"):  # the caller sees what is not finite
                total[:, :, columns] += left.transpose(0, 2, 1) @ quantized[:, :, columns]

        in_parallel(product, tasks)

    def moments(self) -> Moments:
        """What they sum up to. The sums are used up by it: of a large layer they are hundreds of megabytes."""
        x, quantized = (total / self.count for total in self._sums)
        for total, left in ((self._own, quantized), (self._cross, x)):
            total /= self.count
            total -= left[:, :, None] * quantized[:, None, :]
        means = [mean + shift[:, 0] for mean, shift in zip((x, quantized), self._shifts, strict=True)]
        return Moments(self.count, self._own, self._cross, means[0], means[1])


def together(parts: Sequence[Moments]) -> Moments:
    """The moments of all samples of several."""
    count = sum(part.count for part in parts)
    shares = [part.count / count for part in parts]
    mean_float = sum(share * part.mean_float for share, part in zip(shares, parts, strict=True))
    mean = sum(share * part.mean for share, part in zip(shares, parts, strict=True))
    own, cross = np.zeros_like(parts[0].own), np.zeros_like(parts[0].cross)
    for share, part in zip(shares, parts, strict=True):
        away, away_float = part.mean - mean, part.mean_float - mean_float
        own += share * (part.own + away[:, :, None] * away[:, None, :])
        cross += share * (part.cross + away_float[:, :, None] * away[:, None, :])
    return Moments(count, own, cross, np.asarray(mean_float), np.asarray(mean))
