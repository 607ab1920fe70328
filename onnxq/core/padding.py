"""Zeros around a tensor where ``auto_pad`` tells how many. A ground function."""

from __future__ import annotations

from collections.abc import Sequence

AUTOMATIC = ("SAME_UPPER", "SAME_LOWER")  # of ``auto_pad``


def same_pads(
    auto_pad: str, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many zeros stand before and behind each spatial axis, so that outputs have ceil(size / stride) positions.

    The odd one stands behind with SAME_UPPER, before with SAME_LOWER (the operator Conv of ONNX).
    """
    totals = [
        max((-(-size // step) - 1) * step + (length - 1) * gap + 1 - size, 0)
        for size, length, step, gap in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)
