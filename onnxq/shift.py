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

    def mean_output(weight: NDArray[np.float32], mean_input: FloatArray) -> FloatArray:
        # einsum converts as it goes: a copy of a large Gemm's weights in float64 would be gigabytes
        taps = weight.reshape(layer.group, channels // layer.group, inputs, -1)
        means = np.broadcast_to(mean_input, layer.group * inputs).reshape(layer.group, inputs)
        return np.einsum("goit,gi->go", taps, means, dtype=np.float64).reshape(channels)

    return mean_output(layer.weight, mean) - mean_output(quantized_weight, quantized_mean)
