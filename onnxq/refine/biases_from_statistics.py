"""Correct biases by what quantization shifts in the mean output of a layer, from the statistics of its input.

A refinement. Adding the shift to the layer's bias undoes it (Banner et al. 2019, section 4.2, on activations; Nagel et
al. 2019, "Data-free quantization", section 4.2, on taking it from the mean of the layer's input).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.layers import Layer
from onnxq.core.qparams import StaticParams
from onnxq.core.statistics import Statistics
from onnxq.errors import OnnxqError
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import CORRECT_BIASES, STEPS
from onnxq.refine.refinement import Draft, Images, Refinement, Run

FloatArray = NDArray[np.float64]


@STEPS.register(CORRECT_BIASES)
@dataclass(frozen=True)
class CorrectBiases(Refinement):
    """Add E[float output] - E[quantized output] of each output channel; costs no pass over images."""

    needs_statistics: ClassVar[bool] = True

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """It needs static quantizers at inputs, of a format whose mean is known."""
        if points.at_inputs and (activations is None or activations.tells_mean):
            return []
        return [
            "biases are corrected from the statistics of static quantizers at inputs; otherwise take `bias_correction` "
            "images or none"
        ]

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        if draft.statistics is None:
            raise OnnxqError("calibration statistics are needed to correct biases: `statistics`")
        return draft.with_biases({layer.name: _shift(layer, draft, draft.statistics) for layer in draft.layers})


def _shift(layer: Layer, draft: Draft, statistics: Statistics) -> FloatArray:
    own = statistics.tensor(layer.input)
    params = draft.plan.activations.get(layer.input)
    quantized_mean = own.mean
    if params is not None:
        static: StaticParams = params  # type: ignore[assignment]  # by the recipe's checks
        quantized_mean = static.expected_value(own.histogram, own.anchor.astype(np.float64))
    weight = draft.plan.weights[layer.weight_name].dequantized()
    shift = expected_shift(layer, weight, own.mean, quantized_mean)
    if not np.isfinite(shift).all():
        raise OnnxqError(f"layer {layer.name}: its bias correction is not finite; take `bias_correction` none")
    return shift


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
        wanted = layer.group * inputs
        if len(mean_input) not in (1, wanted):
            raise OnnxqError(
                f"layer {layer.name}: its weights are for {wanted} channels, its input has {len(mean_input)}; "
                "does ONNX Runtime run the model?"
            )
        means = np.broadcast_to(mean_input, wanted).reshape(layer.group, inputs)
        return np.einsum("goit,gi->go", taps, means, dtype=np.float64).reshape(channels)

    return mean_output(layer.weight, mean) - mean_output(quantized_weight, quantized_mean)
