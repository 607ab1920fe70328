"""Codebooks: any ascending levels, times a scale. A part of ``formats``: parameters of powers of two and k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.operator_call import SUBJECT, OperatorCall
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.formats.expected import Levels, OnHistograms
from onnxq.formats.packing import packed_inputs

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class CodebookParams(OnHistograms):
    """Parameters of an activation as a whole (a scale of one value) or of each of its channels.

    Attributes:
        scale: float32 [C] or [1], positive: the clipping threshold where the levels end at 1.
        levels: float32 [K], ascending, at most 256, the same for all channels.
    """

    scale: FloatArray
    levels: FloatArray

    def fake_quantize(self, x: FloatArray, axis: int) -> FloatArray:
        """As the function of this name."""
        return fake_quantize(x, self, axis)

    def grid(self) -> Levels:
        """As ``OnHistograms.grid``."""
        return Levels(self.scale.astype(np.float64), self.levels, bounds_of(self.levels))

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The node that quantizes and dequantizes an activation of this rank."""
        scale = broadcastable(self.scale, rank, CHANNEL_AXIS)
        return [OperatorCall("FakeQuantizeCodebook", {"x": SUBJECT, "scale": scale, "levels": self.levels})]


@dataclass(frozen=True)
class CodebookWeightParams:
    """What the codes of a weight stand for: levels * scale + offset.

    Attributes:
        levels: float32 [C, K] or [1, K], ascending; the last one can be repeated.
        scale, offset: float32 [C] or [1].
        bits: the width of codes.
    """

    levels: FloatArray
    scale: FloatArray
    offset: FloatArray
    bits: int

    @property
    def widths(self) -> NDArray[np.int32]:
        """int32 [1]."""
        return np.array([self.bits], np.int32)

    def codes(self, weight: FloatArray) -> NDArray[np.uint8]:
        """The nearest codes of a weight [C, ...], uint8; the lower one on a bound."""
        rows = weight.reshape(len(self.levels) if len(self.levels) > 1 else len(weight), -1)
        books = np.broadcast_to(self.levels, (len(rows), self.levels.shape[1]))
        scale, offset = (np.broadcast_to(field, len(rows)) for field in (self.scale, self.offset))
        codes = np.empty(rows.shape, np.uint8)
        for row, book, gain, shift, place in zip(rows, books, scale, offset, codes, strict=True):
            distinct = book[: int(np.argmax(book == book[-1])) + 1]
            place[:] = np.searchsorted(bounds_of(distinct), (row - np.float64(shift)) / np.float64(gain), side="left")
        return codes.reshape(weight.shape)

    def dequantize(self, codes: NDArray[Any]) -> FloatArray:
        """What the codes of a weight [C, ...] stand for, float32 of their shape."""
        return dequantize(codes.reshape(len(codes), -1), self).reshape(codes.shape)

    def corrected(self, gain: NDArray[np.float64], offset: NDArray[np.float64]) -> CodebookWeightParams:
        """Parameters by which the same codes stand for gain * w + offset, float64 [C] each."""
        scale, shift = self.scale * gain, self.offset * gain + offset
        return CodebookWeightParams(self.levels, scale.astype(np.float32), shift.astype(np.float32), self.bits)

    def scaled(self, gain: NDArray[np.float64]) -> CodebookWeightParams:
        """Parameters by which the same codes stand for gain * w, float64 [C]."""
        return self.corrected(gain, np.zeros(1))

    def dequantizer_calls(self, codes: NDArray[Any]) -> list[OperatorCall]:
        """The node that dequantizes the stored codes of a weight."""
        fields = {"levels": self.levels, "scale": self.scale, "offset": self.offset}
        return [OperatorCall("DequantizeCodebook", packed_inputs(codes, self.widths, fields), ("dequantized",))]


def bounds_of(levels: FloatArray) -> FloatArray:
    """The bounds between levels, float32 [K - 1]."""
    return (levels[:-1] + levels[1:]) * np.float32(0.5)


def codes_of(x: FloatArray, params: CodebookParams, axis: int) -> NDArray[np.uint8]:
    """Index of the level nearest to x / scale, the lower one on a bound; uint8, the shape of x. NaN gives the last."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = np.asarray(x, np.float32) / broadcastable(params.scale, x.ndim, axis)
    return np.searchsorted(bounds_of(params.levels), u, side="left").astype(np.uint8)


def fake_quantize(x: FloatArray, params: CodebookParams, axis: int) -> FloatArray:
    """levels[nearest to x / scale] * scale: the oracle of ``FakeQuantizeCodebook``, float32; NaN stays NaN.

    >>> fake_quantize(np.float32([-1, 0.5, 0.6, 9]), CodebookParams(np.float32([2]), np.float32([0, 0.5, 1])), axis=0)
    array([0., 0., 1., 2.], dtype=float32)
    """
    scale = broadcastable(params.scale, x.ndim, axis)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u = np.asarray(x, np.float32) / scale
        nearest = params.levels[codes_of(x, params, axis)] * scale
    return np.where(np.isnan(u), np.float32(np.nan), nearest).astype(np.float32)


def dequantize(codes: NDArray[np.uint8], params: CodebookWeightParams) -> FloatArray:
    """levels[channel, code] * scale + offset: codes uint8 [C, n] to float32 [C, n]."""
    all_levels = np.broadcast_to(params.levels, (len(codes), params.levels.shape[1]))
    levels = np.take_along_axis(all_levels, codes.astype(np.int64), axis=1)
    return levels * params.scale[:, None] + params.offset[:, None]
