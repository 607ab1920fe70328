"""Ranges of the current batch: what has to be known before it comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.activations import clipping_multiplier
from onnxq.network import Activation
from onnxq.recipe import Recipe

ALL = np.float32(1e30)  # a multiple of any spread that is wider than any range


@dataclass(frozen=True)
class DynamicRange:
    """Inputs of the operator ``DynamicRange`` and where it looks.

    Attributes:
        source: the tensor whose statistics are taken: that before the ReLU, if there is one.
        per_channel: a range for each channel, else one for the tensor.
        bits: int32 [C] or [1]. b_multiplier, std_multiplier: float32, likewise.
        half: the range starts at zero. rectified: the source itself is non-negative. limit: what a Clip clamps to.
    """

    source: str
    per_channel: bool
    bits: NDArray[np.int32]
    b_multiplier: NDArray[np.float32]
    std_multiplier: NDArray[np.float32]
    half: bool
    rectified: bool
    limit: float


def dynamic_range(tensor: Activation, bits: NDArray[np.int32], per_channel: bool, recipe: Recipe) -> DynamicRange:
    """The dynamic counterpart of ``onnxq.activations.uniform_grid``."""
    nothing = np.zeros(bits.shape, np.float32)
    if recipe.scheme == "minmax":
        multiplier = nothing + ALL
    else:
        multiplier = clipping_multiplier(recipe.scheme, bits, tensor.non_negative, recipe).astype(np.float32)
    by_b = recipe.scheme in ("aciq-laplace", "minmax")
    return DynamicRange(
        source=tensor.before or tensor.name,
        per_channel=per_channel,
        bits=bits,
        b_multiplier=multiplier if by_b else nothing,
        std_multiplier=nothing if by_b else multiplier,
        half=tensor.non_negative,
        rectified=tensor.non_negative and tensor.before is None,
        limit=tensor.upper,
    )
