"""Sums over batches that distances follow from. A part of ``comparison``; numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.comparison.compared import ComparedOutput


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise); infinite without noise, minus infinite without a signal, or with noise of NaN."""
    if noise == 0:
        return math.inf
    if not signal > 0 or not math.isfinite(noise):
        return -math.inf
    return 10 * math.log10(signal / noise)


@dataclass
class OutputTally:
    """Of one output."""

    name: str
    signal: float = 0.0
    own: float = 0.0
    product: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    images: int = 0
    batches: int = 0
    same: int | None = 0
    shapes_differ: int = 0

    def add(self, exact: NDArray[Any], quantized: NDArray[Any], images: int) -> None:
        """A batch of so many images."""
        if exact.shape != quantized.shape:
            self.shapes_differ += 1
            return
        y, z = exact.astype(np.float64), quantized.astype(np.float64)
        alike = y == z
        finite = np.isfinite(y)
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.where(alike, 0, np.abs(y - z))  # infinity is as far from itself as any number
        apart = np.where(np.isnan(apart), np.inf, apart)
        y, z = np.where(finite, y, 0), np.where(np.isfinite(z), z, 0)
        self.signal += float(np.square(y).sum())
        self.own += float(np.square(z).sum())
        self.product += float((y * z).sum())
        self.noise += float(np.square(apart).sum())
        self.largest = max(self.largest, float(apart.max(initial=0)))
        self.batches += 1
        is_scores = exact.ndim > 1 and len(exact) == images and exact[0].size == max(exact.shape[1:]) > 1
        if not is_scores:
            self.same = None
        elif self.same is not None:
            flat, own = (values.reshape(images, -1).argmax(axis=1) for values in (y, z))
            self.same += int((flat == own).sum())
        self.images += images

    def result(self) -> ComparedOutput:
        """What follows from the sums."""
        if not self.batches:
            return ComparedOutput(self.name, None, None, None, None, self.shapes_differ)
        length = math.sqrt(self.signal) * math.sqrt(self.own)
        alike = 1.0 if self.noise == 0 else 0.0
        return ComparedOutput(
            self.name,
            decibels(self.signal, self.noise),
            self.product / length if length > 0 else alike,
            self.largest,
            self.same / self.images if self.same is not None and self.images else None,
            self.shapes_differ,
        )
