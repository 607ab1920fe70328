"""What quantization shifts in the mean output of a layer, from the statistics of its input.

Adding the shift to the layer's bias undoes it (Banner et al. 2019, section 4.2, on activations; Nagel et al. 2019,
"Data-free quantization", section 4.2, on taking it from the mean of the layer's input).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.network import Layer

FloatArray = NDArray[np.float64]


def expected_shift(
    layer: Layer, quantized_weight: NDArray[np.float32], mean: FloatArray, quantized_mean: FloatArray
) -> FloatArray:
    """E[float output] - E[quantized output] of each output channel.

    The sum over inputs of (sum of their taps) * (mean of the input), each with and without quantization: exact where no
    padding is seen.

    Args:
        quantized_weight: float32 [C, I / group, ...]. mean, quantized_mean: float64 [I], of the layer's input.

    Returns:
        float64 [C].
    """
    channels, inputs = layer.weight.shape[:2]
    group = np.arange(channels) // (channels // layer.group)
    seen = group[:, None] * inputs + np.arange(inputs)[None, :]  # [C, I / group], the inputs of each output
    taps, quantized_taps = (
        weight.reshape(channels, inputs, -1).sum(axis=2, dtype=np.float64)
        for weight in (layer.weight, quantized_weight)
    )
    shift: FloatArray = (taps * mean[seen] - quantized_taps * quantized_mean[seen]).sum(axis=1)
    return shift
