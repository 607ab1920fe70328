"""Fixed point: two's complement numbers with a step that is a power of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onnxq.grids.uniform import broadcastable

FloatArray = NDArray[np.float32]
Rounding = Literal["half_even", "half_up", "floor"]
Overflow = Literal["saturate", "wrap"]

MAX_FRACTION = 100  # of either sign: steps and their inverses stay normal float32 numbers


@dataclass(frozen=True)
class FixedPointGrid:
    """A format for a whole tensor (one value) or for each of its channels.

    Attributes:
        fraction_bits: int32 [C] or [1], -100 to 100; the step is 2^-fraction_bits.
        total_bits: 2 to 16, the sign included.
        rounding, overflow: what becomes of values between codes and beyond them.
    """

    fraction_bits: NDArray[np.int32]
    total_bits: int
    rounding: Rounding = "half_even"
    overflow: Overflow = "saturate"


def integer_bits(reach: NDArray[Any], *, published: bool = False) -> NDArray[np.int32]:
    """The integer bits (sign not counted) that numbers up to ``reach`` in size need: ceil(log2(reach)).

    The largest code lies a step below 2^bits: a reach of exactly a power of two loses that step. ``published`` adds
    1e-12 to the reach, which gives most exact powers of two a bit more.

    Args:
        reach: non-negative, any shape.

    >>> integer_bits(np.array([0.1, 0.25, 0.3, 1, 3.9])).tolist()
    [-3, -2, -1, 0, 2]
    >>> integer_bits(np.array([0.1, 0.25, 0.3, 1, 3.9]), published=True).tolist()
    [-3, -1, -1, 1, 2]
    """
    values = np.asarray(reach, np.float64)
    values = values + 1e-12 if published else np.maximum(values, 2.0**-80)
    return np.ceil(np.log2(values)).astype(np.int32)


def grid_from_reach(
    reach: NDArray[Any],
    total_bits: int,
    rounding: Rounding = "half_even",
    overflow: Overflow = "saturate",
    *,
    published: bool = False,
) -> FixedPointGrid:
    """The format whose integer bits hold ``reach``, float [C] or [1]: what is left of ``total_bits`` is fraction.

    Where values wrap, there is one integer bit more if ``reach`` would be rounded to a code too large.
    """
    reach = np.atleast_1d(reach).astype(np.float64)
    fraction = total_bits - 1 - integer_bits(reach, published=published)
    if overflow == "wrap":
        fraction -= np.floor(np.ldexp(reach, fraction) + 0.5) > 2 ** (total_bits - 1) - 1
    return FixedPointGrid(np.clip(fraction, -MAX_FRACTION, MAX_FRACTION), total_bits, rounding, overflow)


def codes_of(x: FloatArray, grid: FixedPointGrid, axis: int) -> FloatArray:
    """Integer codes of x, float32 of its shape, -2^(total_bits - 1) .. 2^(total_bits - 1) - 1; NaN stays NaN.

    Infinite values saturate whatever ``overflow`` says.
    """
    fraction_bits = broadcastable(grid.fraction_bits, x.ndim, axis)
    with np.errstate(over="ignore", invalid="ignore"):
        code = _rounded(np.asarray(x, np.float32) * np.ldexp(np.float32(1), fraction_bits), grid.rounding)
        half = np.float32(2.0 ** (grid.total_bits - 1))
        saturated = np.minimum(np.maximum(code, -half), half - 1)
        if grid.overflow == "saturate":
            return saturated
        turns = code / (2 * half)
        rest = (turns - np.floor(turns)) * (2 * half)
        wrapped = np.where(rest >= half, rest - 2 * half, rest)
    return np.where(np.isinf(code), saturated, wrapped).astype(np.float32)


def _rounded(x: FloatArray, rounding: Rounding) -> FloatArray:
    if rounding == "half_even":
        return np.rint(x)
    below = np.floor(x)
    return below + (x - below >= 0.5).astype(np.float32) if rounding == "half_up" else below


def fake_quantize(x: FloatArray, grid: FixedPointGrid, axis: int) -> FloatArray:
    """code * 2^-fraction_bits: the oracle of ``FakeQuantizeFixedPoint``, float32.

    >>> fake_quantize(np.float32([-9, 0.5, 0.6, 3]), FixedPointGrid(np.int32([1]), 4), axis=0)
    array([-4. ,  0.5,  0.5,  3. ], dtype=float32)
    """
    step = np.ldexp(np.float32(1), -broadcastable(grid.fraction_bits, x.ndim, axis))
    return codes_of(x, grid, axis) * step


def convolve(
    x: FloatArray,
    weight: FloatArray,
    bias: FloatArray,
    grid: FixedPointGrid,
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
        grid: the format of the output, per tensor or per output channel.
        pads: top, left, bottom, right.

    Returns:
        float32 [N, M, H', W'].
    """
    outputs, inputs, kh, kw = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    spans = (dilations[0] * (kh - 1) + 1, dilations[1] * (kw - 1) + 1)
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]  # [N, C, H', W', kh, kw]
    fraction_bits = np.broadcast_to(grid.fraction_bits, outputs)
    half = 2 ** (grid.total_bits - 1)
    result = np.empty((len(x), outputs, *views.shape[2:4]), np.float32)
    for m in range(outputs):
        start = m // (outputs // group) * inputs
        own = FixedPointGrid(fraction_bits[m : m + 1], grid.total_bits, grid.rounding, grid.overflow)
        products = views[:, start : start + inputs] * weight[m][:, None, None]
        total = codes_of(products, own, 0).astype(np.float64).sum(axis=(1, 4, 5))  # exact: below 2^53
        if grid.overflow == "wrap":
            total -= 2 * half * np.floor((total + half) / (2 * half))
        values = np.clip(total, -half, half - 1).astype(np.float32)
        result[:, m] = fake_quantize(values * np.ldexp(np.float32(1), -fraction_bits[m]) + bias[m], own, 0)
    return result
