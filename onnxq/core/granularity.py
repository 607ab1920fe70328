"""What one set of quantization parameters is for. A ground type."""

from __future__ import annotations

from enum import StrEnum


class Granularity(StrEnum):
    """A set for each channel (of weights: each output channel), or one for the whole tensor."""

    PER_CHANNEL = "per-channel"
    PER_TENSOR = "per-tensor"
