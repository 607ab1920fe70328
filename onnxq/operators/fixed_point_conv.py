"""FixedPointConv(x, weight, bias, fraction_bits): a convolution as a fixed-point machine computes it.

    x              float32 [N, C, H, W]
    weight         float32 [M, C / group, kh, kw]
    bias           float32 [M]
    fraction_bits  int32 [M] or [1], -100 to 100: the format of the output
    y              float32 [N, M, H', W']

    strides, pads, dilations, group       as Conv has them, all given
    total_bits, rounding, overflow        as ``FakeQuantizeFixedPoint`` has them

Every product x * weight, in float32, is put into the format of its output channel; the codes are added exactly; the sum
is put into the format, and so is the sum with the bias. NaN gives NaN.

**It has no function body** (ONNX has no convolution that rounds its products): a file with it needs the native library,
and says so in its metadata. The numpy reference is ``onnxq.formats.fixed_point_convolution.convolve``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.operators.fake_quantize_fixed_point import grid, width

NAME = "FixedPointConv"
__all__ = ["NAME", "codes", "grid", "width"]


def codes(values: NDArray[Any], parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> NDArray[Any]:
    """The codes that outputs stand for; parameters and attributes are those of the node."""
    fraction_bits = broadcastable(parameters[2], 4, CHANNEL_AXIS)
    return np.rint(values * np.exp2(fraction_bits.astype(np.float32)))
