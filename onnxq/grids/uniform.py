"""The uniform affine grid: scale * (q - zero_point), q = 0 .. 2^bits - 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class UniformGrid:
    """A grid for a whole tensor (arrays of one value) or for each of its channels.

    Attributes:
        scale: float32 [C] or [1], positive, in the units of the tensor.
        zero_point: float32 [C] or [1], integral; may lie outside 0 .. 2^bits - 1.
        bits: int32 [C] or [1], 0 to 8.
    """

    scale: FloatArray
    zero_point: FloatArray
    bits: NDArray[np.int32]

    @property
    def lower(self) -> FloatArray:
        """Smallest representable value, float32."""
        return -self.zero_point * self.scale

    @property
    def upper(self) -> FloatArray:
        """Largest representable value, float32."""
        return (np.exp2(self.bits).astype(np.float32) - 1 - self.zero_point) * self.scale


def grid_from_range(lower: ArrayLike, upper: ArrayLike, bits: int | NDArray[np.int32]) -> UniformGrid:
    """The asymmetric grid over [lower, upper], in gemmlowp's arithmetic.

    scale = (upper - lower) / (2^bits - 1) and zero_point = round_half_even(-lower / scale), so
    that zero is a multiple of the step; the range that results is shifted by up to half a step.
    (Jacob et al. 2018, eq. 1 to 4; the published ACIQ code adds no nudging and neither do we.)

    A range of no width gets a grid that has its one value on it. With bits = 0 the one level is ``lower``.

    Args:
        lower, upper: finite numbers, scalars or [C], lower <= upper.
        bits: 0 to 8, a scalar or int32 [C].

    Raises:
        ValueError: a bound is not finite, lower > upper, or bits lie outside 0 .. 8.

    >>> grid_from_range(-1.0, 2.0, 2)
    UniformGrid(scale=array([1.], dtype=float32), zero_point=array([1.], dtype=float32), bits=array([2], dtype=int32))
    """
    low, high = np.broadcast_arrays(
        np.atleast_1d(np.asarray(lower, np.float64)), np.atleast_1d(np.asarray(upper, np.float64))
    )
    widths = np.broadcast_to(np.asarray(bits, np.int32), low.shape) if np.ndim(bits) else np.full(1, bits, np.int32)
    if not (np.isfinite(low).all() and np.isfinite(high).all()) or (low > high).any():
        raise ValueError("a quantization range must be finite with lower <= upper")
    if (widths < 0).any() or (widths > 8).any():
        raise ValueError("bits must lie between 0 and 8")
    steps = np.exp2(np.broadcast_to(widths, low.shape)) - 1
    smallest = float(np.finfo(np.float32).tiny)
    scale = (high - low) / np.maximum(steps, 1)
    # No width: scale = |value| and levels 0 and value. With bits = 0 the one level is -zero_point * scale.
    no_bits = steps == 0
    flat = (scale < smallest) | no_bits
    scale = np.where(flat, np.where(np.abs(low) < smallest, 1.0, np.abs(low)), scale).astype(np.float32)
    zero_point = np.rint(-low / scale.astype(np.float64))
    zero_point = np.where(flat, np.where(no_bits, -np.sign(low) * (np.abs(low) >= smallest), low < 0), zero_point)
    return UniformGrid(scale, zero_point.astype(np.float32) + np.float32(0), widths.copy())


def broadcastable(parameter: NDArray[Any], rank: int, axis: int) -> NDArray[Any]:
    """Give [C] or [1] values the shape that broadcasts along ``axis`` of a tensor of ``rank`` dimensions."""
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if dimension == axis else 1 for dimension in range(rank)])


def quantize(x: FloatArray, grid: UniformGrid, axis: int) -> FloatArray:
    """Integer codes of x, as float32 of the shape of x: clamp(round_half_even(x / scale) + zero_point, 0, 2^bits - 1).

    NaN stays NaN.

    >>> g = grid_from_range(-1.0, 2.0, 2)
    >>> quantize(np.float32([-9, -0.4, 0.5, 1.5, 9]), g, axis=0)
    array([0., 1., 1., 3., 3.], dtype=float32)
    """
    scale, zero_point, bits = (broadcastable(p, x.ndim, axis) for p in (grid.scale, grid.zero_point, grid.bits))
    top = np.power(np.float32(2), bits).astype(np.float32) - np.float32(1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = np.asarray(np.asarray(x, np.float32) / scale)
        np.rint(codes, out=codes)  # in place: a large Gemm's weights are half a gigabyte
        codes += zero_point
        np.maximum(codes, np.float32(0), out=codes)
        return np.minimum(codes, top, out=codes)


def dequantize(codes: FloatArray, grid: UniformGrid, axis: int) -> FloatArray:
    """(codes - zero_point) * scale, float32."""
    scale, zero_point = (broadcastable(p, codes.ndim, axis) for p in (grid.scale, grid.zero_point))
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.asarray(np.asarray(codes, np.float32) - zero_point)
        return np.multiply(values, scale, out=values)


def fake_quantize(x: FloatArray, grid: UniformGrid, axis: int) -> FloatArray:
    """dequantize(quantize(x)): the oracle of the operator ``FakeQuantize``, float32, bit for bit.

    Args:
        x: float32, any shape.
        grid: per tensor, or one value for each index of ``axis``.
    """
    return dequantize(quantize(x, grid, axis), grid, axis)
