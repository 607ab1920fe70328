"""Integer codes of 0 to 8 bits as one stream of bytes, each channel at its own width.

Channels follow each other without padding, least significant bit first: element i of
channel c takes bits [start_c + i * bits_c, start_c + (i + 1) * bits_c) of the stream, where
start_c is the number of bits of all channels before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
