"""Integer codes of 0 to 8 bits as one stream of bytes, each channel at its own width.

Channels follow each other without padding, least significant bit first: element i of
channel c takes bits [start_c + i * bits_c, start_c + (i + 1) * bits_c) of the stream, where
start_c is the number of bits of all channels before it. A part of ``formats``, called by weights and by writers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.operator_call import Input, Made, OperatorCall
from onnxq.core.shapes import broadcastable
from onnxq.errors import OnnxqError

MOST_STREAM = 2**31 - 8  # bits; positions in the operators are int32
FLOAT = 1  # ONNX's number of the type


def pack(codes: NDArray[np.uint8], bits: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Pack codes.

    Args:
        codes: uint8 [C, n], codes[c] < 2^bits[c].
        bits: int32 [C], 0 to 8.

    Returns:
        uint8 [ceil(n * sum(bits) / 8)].

    >>> pack(np.uint8([[1, 2, 3]]), np.int32([2]))
    array([57], dtype=uint8)
    """
    if codes.size and (codes >> np.minimum(bits, 7)[:, None] >> (bits == 8)[:, None].astype(np.uint8)).any():
        raise ValueError("a code does not fit the width of its channel")
    planes = [
        np.unpackbits(row[:, None], axis=1, bitorder="little")[:, :width].ravel()
        for row, width in zip(codes, bits, strict=True)
    ]
    return np.packbits(np.concatenate(planes) if planes else np.zeros(0, np.uint8), bitorder="little")


def unpack(stream: NDArray[np.uint8], bits: NDArray[np.int32], length: int) -> NDArray[np.uint8]:
    """The inverse of ``pack``: uint8 [C, length]."""
    unpacked = np.unpackbits(stream, bitorder="little")
    codes = np.zeros((len(bits), length), np.uint8)
    start = 0
    for channel, width in enumerate(bits):
        field = unpacked[start : start + length * width].reshape(length, width)
        codes[channel] = np.packbits(field, axis=1, bitorder="little")[:, 0] if width else 0
        start += length * int(width)
    return codes


def packed_inputs(codes: NDArray[np.uint8], bits: NDArray[np.int32], fields: Mapping[str, Input]) -> dict[str, Input]:
    """The inputs of an operator that unpacks the codes of a weight [C, ...], in order: stream, bits, fields, shape.

    Raises:
        OnnxqError: the weight is too large for the operator.
    """
    channels = len(codes)
    widths = np.broadcast_to(bits, channels)
    if int(widths.astype(np.int64).sum()) * (codes.size // channels) > MOST_STREAM:
        raise OnnxqError("it is too large to pack (over 2^31 bits); leave its layer out with `skip`")
    stream = pack(codes.reshape(channels, -1), widths)
    if widths.size and (widths == widths[0]).all():
        bits = widths[:1]
    return {"codes": stream, "bits": bits, **fields, "shape": np.array(codes.shape, np.int64)}


def wide_calls(codes: NDArray[Any], scale: NDArray[np.float32], zero_point: NDArray[np.float32]) -> list[OperatorCall]:
    """(code - zero_point) * scale in standard operators, for codes [C, ...] of more than 8 bits."""
    rank = codes.ndim
    return [
        OperatorCall("Cast", {"codes": codes}, ("Cast",), {"to": FLOAT}, domain=""),
        OperatorCall("Sub", {"x": Made("Cast"), "zero_point": broadcastable(zero_point, rank, 0)}, ("Sub",), domain=""),
        OperatorCall("Mul", {"x": Made("Sub"), "scale": broadcastable(scale, rank, 0)}, ("dequantized",), domain=""),
    ]
