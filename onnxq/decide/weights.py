"""Weights to codes in three moves: fit the parameters, round, correct. A part of ``decide``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxq.allocation.base import WIDTHS
from onnxq.core.granularity import Granularity
from onnxq.core.qparams import QuantizedWeight, WeightParams
from onnxq.core.spread import spread_of
from onnxq.recipe import Recipe
from onnxq.recipe.corrections import Correction
from onnxq.recipe.override import LayerChoice
from onnxq.recipe.rounding import Rounding

Float32 = NDArray[np.float32]


def quantize_weight(
    weight: Float32, choice: LayerChoice, granularity: Granularity, rounding: Rounding, correction: Correction
) -> QuantizedWeight:
    """Codes of a weight float32 [C, ...].

    Args:
        choice: its format, bits and allocation.
    """
    params = fit(weight, choice, granularity)
    quantized = QuantizedWeight(rounding.codes(weight, params), params)
    return corrected(quantized, weight, correction, holds_correction=choice.format.holds_correction)


def quantize_alone(weight: Float32, recipe: Recipe) -> QuantizedWeight:
    """The same for a weight of no layer."""
    whole = recipe.resolved()
    asked, rounding = whole.weights, whole.rounding
    assert rounding is not None and asked.granularity is not None and asked.correction is not None
    return quantize_weight(weight, whole.weight_choice(()), asked.granularity, rounding, asked.correction)


def fit(
    weight: Float32, choice: LayerChoice, granularity: Granularity, importance: NDArray[np.float64] | None = None
) -> WeightParams:
    """Parameters of a weight: a set for each output channel, or one.

    Args:
        importance: what a squared error in each of its values costs, to allocate bits by; float64 [C, n].
    """
    rows = weight.reshape(len(weight), -1)
    groups = rows if granularity is Granularity.PER_CHANNEL else rows.reshape(1, -1)
    if not choice.format.has_widths:
        return choice.format.fit_weight(groups, choice.bits)
    if not choice.allocation.gives_widths or weight.size > choice.target.most_streamed:
        return choice.format.fit_weight(groups, np.array([int(choice.bits)], np.int32))

    def error() -> NDArray[np.float64]:
        errors = np.empty((len(rows), WIDTHS))
        for width in range(WIDTHS):
            params = choice.format.fit_weight(rows, np.full(len(rows), width, np.int32))
            squares = np.square(params.dequantize(params.codes(rows)) - rows, dtype=np.float64)
            errors[:, width] = (squares if importance is None else squares * importance).sum(axis=1)
        return errors

    widths = choice.allocation.widths(spread_of(rows), error, choice.bits, choice.most_bits)
    return choice.format.fit_weight(groups, widths)


def corrected(
    quantized: QuantizedWeight, weight: Float32, correction: Correction, *, holds_correction: bool
) -> QuantizedWeight:
    """The same codes for values that have the mean (and the spread) of the weight, where the format can hold that."""
    if not correction.moves or not holds_correction:
        return quantized
    rows = weight.reshape(len(weight), -1)
    return quantized.corrected(*correction.gain_and_offset(rows, quantized.dequantized().reshape(rows.shape)))
