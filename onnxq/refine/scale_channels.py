"""Scale the channels between two layers: up in the weights and bias that make them, down in the weights that read them.

Requires: a pair from ``onnxq.graph.pairs.pairs_of``, so that nothing else reads the tensor or shares the weights.
Ensures: the network computes the same, but for what a Clip between the two cuts off.
A part of ``refine``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.graph.pairs import Pair


def scale_channels(pair: Pair, factors: NDArray[np.float64]) -> None:
    """Multiply each channel by a factor, float64 [C], positive."""
    for constant in pair.first.inputs[1:]:
        shape = (-1, *(1 for _ in constant.shape[1:]))
        constant.values = (constant.values * factors.reshape(shape)).astype(np.float32)
    weight = pair.second.inputs[1]
    axis = 0 if pair.depthwise else 1
    shape = tuple(-1 if dimension == axis else 1 for dimension in range(len(weight.shape)))
    weight.values = (weight.values / factors.reshape(shape)).astype(np.float32)
