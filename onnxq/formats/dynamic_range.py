"""Affine parameters of the current batch: what has to be known before it comes. A part of ``formats``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq.core.operator_call import SUBJECT, Input, Made, OperatorCall, Tensor
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable


@dataclass(frozen=True)
class DynamicParams:
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
    limit: float = math.inf

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The node that finds the range of a batch, and the one that quantizes by it."""
        axes = [axis for axis in range(rank) if not (self.per_channel and axis == CHANNEL_AXIS)]
        bits, b, std = (
            broadcastable(field, rank, CHANNEL_AXIS) for field in (self.bits, self.b_multiplier, self.std_multiplier)
        )
        search: dict[str, Input] = {
            "x": Tensor(self.source),
            "axes": np.array(axes, np.int64),
            "bits": bits,
            "b_multiplier": b,
            "std_multiplier": std,
            "half": np.array(self.half),
            "rectified": np.array(self.rectified),
            "limit": np.array(self.limit, np.float32),
        }
        found: dict[str, Input] = {"scale": Made("scale"), "zero_point": Made("zero_point")}
        return [
            OperatorCall("DynamicRange", search, ("scale", "zero_point")),
            OperatorCall("FakeQuantize", {"x": SUBJECT, **found, "bits": bits}),
        ]
