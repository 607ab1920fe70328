"""Why what reads a quantized tensor is far from the float network, as far as that tensor tells. A part of
``comparison``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.inspection.shown import ShownTensor

UNEVEN = 16  # times the median channel
FEW = 8  # levels
FAR = 1.5  # times the largest value that a quantizer can make


def reason_of(quantizer: ShownTensor, reach: NDArray[np.float64]) -> str:
    """What is known; empty where nothing is.

    Args:
        reach: the largest magnitude of each channel of the tensor, in the float network, float64 [C].
    """
    if quantizer.threshold is None or quantizer.scale is None or not reach.size:
        return ""
    largest, median = float(reach.max()), float(np.median(reach))
    if largest > FAR * quantizer.threshold[1]:
        return f"values up to {largest:.3g} are clipped at {quantizer.threshold[1]:.3g}"
    if sum(quantizer.widths.values()) > 1:  # each channel has a range of its own
        return ""
    step = quantizer.scale[1]
    if largest < FEW * step:
        return f"few levels used: values up to {largest:.3g} in steps of {step:.3g}"
    if largest > UNEVEN * median:
        return (
            f"one range for uneven channels: up to {largest:.3g} (channel {int(reach.argmax())}), median {median:.3g}"
        )
    return ""
