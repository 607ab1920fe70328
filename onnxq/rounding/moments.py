"""Second moments of what a layer reads: all that rounding needs to know of images. A part of ``rounding``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.parallel import in_parallel
from onnxq.rounding.parallel import product

FloatArray = NDArray[np.float64]
Float32 = NDArray[np.float32]
BLOCK = 256  # columns of a product that one task computes


@dataclass(frozen=True)
class Moments:
    """Of what a layer of weight W makes in the float network, y = W x, and what it reads in the quantized one, x^.

    About their means; the bias is no part of y.

    Attributes:
        count: samples.
        own: G = E[x^ x^T], float64 [g, d, d]. cross: C = E[y x^T], float64 [g, r, d].
        mean_output, mean: of y, float64 [g, r], and of x^, float64 [g, d].
    """

    count: int
    own: FloatArray
    cross: FloatArray
    mean_output: FloatArray
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
        cross = self.cross + self.mean_output[:, :, None] * self.mean[:, None, :]
        return Moments(self.count, own, cross, np.zeros_like(self.mean_output), np.zeros_like(self.mean))


class MomentSums:
    """Sums that grow batch by batch, in float64; products of one batch are float32.

    Args:
        weight: W, float32 [g, r, d].
    """

    def __init__(self, weight: Float32) -> None:
        groups, rows, width = weight.shape
        self.count = 0
        self._weight = weight
        self._weight_last = rows > width  # the sums are those of x then, and smaller
        made = width if self._weight_last else rows
        self._shifts: list[Float32] = []  # about the means, so that what is squared stays small
        self._sums = [np.zeros((groups, made)), np.zeros((groups, width))]  # of y or x, of x^
        self._own, self._cross = np.zeros((groups, width, width)), np.zeros((groups, made, width))

    def add(self, x: Float32, quantized: Float32) -> None:
        """Take in samples of x and x^, float32 [g, P, d] each."""
        if not x.shape[1]:
            return
        self.count += x.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):  # the caller sees what is not finite
            self._add(x if self._weight_last else product(x, self._weight.transpose(0, 2, 1)), quantized)

    def _add(self, left: Float32, quantized: Float32) -> None:
        if not self._shifts:
            self._shifts = [values.mean(axis=1, keepdims=True) for values in (left, quantized)]
        left, quantized = left - self._shifts[0], quantized - self._shifts[1]
        for total, values in zip(self._sums, (left, quantized), strict=True):
            total += values.sum(axis=1, dtype=np.float64)

        def add_columns(start: int) -> None:
            columns = slice(start, start + BLOCK)
            right, upper = quantized[:, :, columns], quantized[:, :, : start + BLOCK]  # G is symmetric
            with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
                self._own[:, : start + BLOCK, columns] += upper.transpose(0, 2, 1) @ right
                self._cross[:, :, columns] += left.transpose(0, 2, 1) @ right

        in_parallel(add_columns, range(0, quantized.shape[2], BLOCK)[::-1])  # the largest first

    def moments(self) -> Moments:
        """What they sum up to. The sums are used up by it: of a large layer they are hundreds of megabytes."""
        for start in range(0, self._own.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            self._own[:, start + BLOCK :, block] = self._own[:, block, start + BLOCK :].transpose(0, 2, 1)
        left, quantized = (total / self.count for total in self._sums)
        for total, first in ((self._own, quantized), (self._cross, left)):
            total /= self.count
            total -= first[:, :, None] * quantized[:, None, :]
        mean_left, mean = (each + shift[:, 0] for each, shift in zip((left, quantized), self._shifts, strict=True))
        if not self._weight_last:
            return Moments(self.count, self._own, self._cross, mean_left, mean)
        weight = self._weight.astype(np.float64)
        return Moments(self.count, self._own, weight @ self._cross, (weight @ mean_left[:, :, None])[:, :, 0], mean)


def together(parts: Sequence[Moments]) -> Moments:
    """The moments of all samples of several."""
    count = sum(part.count for part in parts)
    shares = [part.count / count for part in parts]
    mean_output = sum(share * part.mean_output for share, part in zip(shares, parts, strict=True))
    mean = sum(share * part.mean for share, part in zip(shares, parts, strict=True))
    own, cross = np.zeros_like(parts[0].own), np.zeros_like(parts[0].cross)
    for share, part in zip(shares, parts, strict=True):
        away, away_output = part.mean - mean, part.mean_output - mean_output
        own += share * (part.own + away[:, :, None] * away[:, None, :])
        cross += share * (part.cross + away_output[:, :, None] * away[:, None, :])
    return Moments(count, own, cross, np.asarray(mean_output), np.asarray(mean))
