"""What a layer reads at some of its output positions: the columns that its weights are multiplied with.

A part of ``refine``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from onnxq.core.layers import Layer
from onnxq.core.padding import AUTOMATIC, same_pads

Float32 = NDArray[np.float32]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """How a layer reads a tensor [N, I, ...].

    Attributes:
        kernel, strides, dilations: a value for each spatial axis; none of a Gemm. starts, ends: zeros written there.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Length of the kernel, its gaps included."""
        return tuple((size - 1) * gap + 1 for size, gap in zip(self.kernel, self.dilations, strict=True))

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of outputs along each spatial axis, for an input [N, I, ...]."""
        sizes = zip(shape[2:], self.starts, self.ends, self.reach, self.strides, strict=True)
        return tuple((size + start + end - reach) // step + 1 for size, start, end, reach, step in sizes)


def window_of(layer: Layer, shape: tuple[int, ...]) -> Window:
    """How a layer reads an input of this shape."""
    kernel = layer.weight.shape[2:]
    rank = len(kernel)
    if layer.auto_pad in AUTOMATIC:
        starts, ends = same_pads(layer.auto_pad, shape[2:], kernel, layer.strides, layer.dilations)
    elif layer.auto_pad == "VALID":
        starts = ends = (0,) * rank
    else:
        starts, ends = layer.pads[:rank], layer.pads[rank:]
    return Window(kernel, layer.strides, layer.dilations, starts, ends)


def choose_positions(layer: Layer, shape: tuple[int, ...], count: int, random: np.random.Generator) -> Index:
    """Up to ``count`` output positions of all images of an input of this shape: sorted flat indices."""
    total = shape[0] * prod(window_of(layer, shape).positions(shape))
    if count >= total:
        return np.arange(total)
    return np.sort(random.choice(total, count, replace=False))


def samples(layer: Layer, x: Float32, positions: Index) -> Float32:
    """What the layer reads at these positions, which ascend as ``choose_positions`` has them; float32 [g, P, d]."""
    groups, width = layer.group, layer.weight.shape[1]
    window = window_of(layer, x.shape)
    if not window.kernel:
        return np.ascontiguousarray(x[positions].reshape(len(positions), groups, width).transpose(1, 0, 2))
    image, *places = np.unravel_index(positions, (len(x), *window.positions(x.shape)))
    if any(window.starts) or any(window.ends):
        x = np.pad(x, [(0, 0), (0, 0), *zip(window.starts, window.ends, strict=True)])
    corner = np.ravel_multi_index([p * step for p, step in zip(places, window.strides, strict=True)], x.shape[2:])
    taps = np.indices(window.kernel).reshape(len(window.kernel), -1) * np.array(window.dilations)[:, None]
    read = (corner[:, None] + np.ravel_multi_index(tuple(taps), x.shape[2:])).astype(np.intp)  # [P, kernel]
    found = np.empty((groups, len(positions), width, taps.shape[1]), np.float32)
    starts = np.searchsorted(image, np.arange(len(x) + 1))
    for values, start, end in zip(x, starts[:-1], starts[1:], strict=True):
        taken = np.take(values.reshape(groups, width, -1), read[start:end], axis=2)  # [g, I / g, P, kernel]
        found[:, start:end] = taken.transpose(0, 2, 1, 3)
    return found.reshape(groups, len(positions), width * taps.shape[1])
