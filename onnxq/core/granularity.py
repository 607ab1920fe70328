"""What one set of quantization parameters is for. A ground type."""

from __future__ import annotations

from enum import StrEnum

from onnxq.errors import OnnxqError


class Granularity(StrEnum):
    """A set for each channel (of weights: each output channel), or one for the whole tensor."""

    PER_CHANNEL = "per-channel"
    PER_TENSOR = "per-tensor"

    @staticmethod
    def parse(written: object) -> Granularity:
        """From its name.

        Raises:
            OnnxqError: there is no such granularity.
        """
        if written in list(Granularity):
            return Granularity(str(written))
        raise OnnxqError(f"`granularity`: no {written!r}; use one of {', '.join(Granularity)}")
