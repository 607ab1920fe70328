"""A convolution as a fixed-point machine computes it: the oracle of the operator ``FixedPointConv``.

A part of ``formats``, called by tests only: the operator has no function body to compare with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.formats.fixed_point import FixedPointParams, codes_of, fake_quantize

FloatArray = NDArray[np.float32]


def convolve(
    x: FloatArray,
    weight: FloatArray,
    bias: FloatArray,
    params: FixedPointParams,
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> FloatArray:
    """A convolution that rounds every product, the sum and the sum with the bias: the oracle of ``FixedPointConv``.

    Products are float32 and put into the format of the output channel, then added exactly; the sum is put
    into the format, and so is, in float32, the sum with the bias.

    Args:
        x: float32 [N, C, H, W]. weight: float32 [M, C / group, kh, kw]. bias: float32 [M].
        params: the format of the output, per tensor or per output channel.
        pads: top, left, bottom, right.

    Returns:
        float32 [N, M, H', W'].
    """
    outputs, inputs, kh, kw = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    spans = (dilations[0] * (kh - 1) + 1, dilations[1] * (kw - 1) + 1)
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]  # [N, C, H', W', kh, kw]
    fraction_bits = np.broadcast_to(params.fraction_bits, outputs)
    half = 2 ** (params.total_bits - 1)
    result = np.empty((len(x), outputs, *views.shape[2:4]), np.float32)
    for m in range(outputs):
        start = m // (outputs // group) * inputs
        own = FixedPointParams(fraction_bits[m : m + 1], params.total_bits, params.rounding, params.overflow)
        products = views[:, start : start + inputs] * weight[m][:, None, None]
        total = codes_of(products, own, 0).astype(np.float64).sum(axis=(1, 4, 5))  # exact: below 2^53
        if params.overflow == "wrap":
            total -= 2 * half * np.floor((total + half) / (2 * half))
        values = np.clip(total, -half, half - 1).astype(np.float32)
        result[:, m] = fake_quantize(values * np.ldexp(np.float32(1), -fraction_bits[m]) + bias[m], own, 0)
    return result
