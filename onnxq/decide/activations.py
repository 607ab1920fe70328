"""The parameters of an activation: its range by a clipping rule, its bits by the allocation. A part of ``decide``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxq.allocation import ALLOCATIONS
from onnxq.allocation.base import WIDTHS
from onnxq.clipping import CLIPPINGS, Clipping
from onnxq.core.granularity import Granularity
from onnxq.core.layers import Layer
from onnxq.core.observed import Observed, ObservedOverBatches
from onnxq.core.parallel import in_parallel
from onnxq.core.points import QuantPoint
from onnxq.core.qparams import ActivationParams
from onnxq.core.statistics import Statistics
from onnxq.errors import OnnxqError
from onnxq.formats.dynamic_range import DynamicParams
from onnxq.recipe import Activations
from onnxq.recipe.override import LayerChoice
from onnxq.recipe.parts import BATCHES

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]


def quantize_activation(
    point: QuantPoint, layers: Sequence[Layer], statistics: Statistics, asked: Activations, choice: LayerChoice
) -> ActivationParams:
    """Parameters of the tensor at a point.

    One value a channel and image (the input of a Gemm) is too little to tell channels apart by: such a tensor is
    quantized as a whole, at the whole part of its bits.

    Args:
        layers: those whose bits it takes. asked: resolved. choice: what follows from it for these layers.

    Raises:
        OnnxqError: the statistics do not have what is needed.
    """
    if point.whole_bits:
        whole = replace(asked, granularity=Granularity.PER_TENSOR, clipping=CLIPPINGS.parse("minmax"))
        same = replace(choice, bits=point.whole_bits, allocation=ALLOCATIONS.parse("none"))
        return quantize_activation(replace(point, whole_bits=0), layers, statistics, whole, same)
    assert asked.clipping is not None
    own = statistics.tensor(point.tensor)
    per_channel = asked.granularity is Granularity.PER_CHANNEL and own.count > statistics.images
    before = statistics.tensor(point.pre_activation) if point.pre_activation is not None else None
    if not per_channel:
        own, before = own.whole(), before and before.whole()
    moving = _moving(statistics, point.tensor, per_channel, asked.clipping)
    observed = Observed(own, before, point.non_negative, moving)
    if asked.over == BATCHES:
        observed = _over_batches(observed, point, statistics, per_channel)
    if not choice.format.has_widths:
        return choice.format.fit_activation(observed, choice.bits, asked.clipping)
    widths = np.full(1, int(choice.bits), np.int32)
    if per_channel and choice.allocation.gives_widths:
        widths = _allocated(observed, _importance(point, layers, observed.channels), asked.clipping, choice)
    if asked.dynamic:
        return _dynamic(point, widths, per_channel, asked.clipping)
    return choice.format.fit_activation(observed, widths, asked.clipping)


def _over_batches(observed: Observed, point: QuantPoint, statistics: Statistics, per_channel: bool) -> Observed:
    averages = statistics.averages
    if averages is None:
        raise OnnxqError("the statistics have no means over batches; run `onnxq calibrate` again with `batch_averages`")
    before = point.pre_activation
    return ObservedOverBatches(
        observed.own,
        observed.before,
        observed.half,
        observed.moving,
        averages.tensor(point.tensor, per_channel=per_channel),
        averages.tensor(before, per_channel=per_channel) if before is not None else None,
    )


def _allocated(observed: Observed, importance: FloatArray, rule: Clipping, choice: LayerChoice) -> BitArray:
    """Bits for each channel, int32 [C].

    Args:
        importance: float64 [C], by how much the layers multiply a channel's squared error.
    """

    def error() -> FloatArray:
        return np.stack(in_parallel(error_at, range(WIDTHS)), axis=1) * importance[:, None]

    def error_at(width: int) -> FloatArray:
        params = choice.format.fit_activation(observed, np.full(observed.channels, width, np.int32), rule)
        return params.expected_squared_error(observed.histogram, observed.anchor)

    spread = observed.deviation if choice.allocation.by_deviation else observed.spread
    return choice.allocation.widths(spread, error, choice.bits)


def _importance(point: QuantPoint, layers: Sequence[Layer], channels: int) -> FloatArray:
    """By how much the layers that read a tensor multiply the squared error of each of its channels, float64 [C].

    Ones where these layers make the tensor: who reads it is not known there.
    """
    total = np.zeros(channels)
    for layer in layers if point.feeds_layers else ():
        total += channel_importance(layer)
    return total if total.any() else total + 1


def channel_importance(layer: Layer) -> FloatArray:
    """By how much a layer multiplies the squared error of each channel that it reads: |W_c|^2, float64 [C]."""
    rows, inputs = layer.weight.shape[:2]
    squares = np.square(layer.weight, dtype=np.float64).reshape(layer.group, rows // layer.group, inputs, -1)
    importance: FloatArray = squares.sum(axis=(1, 3)).reshape(-1)
    return importance


def _dynamic(point: QuantPoint, bits: BitArray, per_channel: bool, rule: Clipping) -> DynamicParams:
    """The counterpart of a static range for each batch."""
    multipliers = rule.multipliers(bits, point.non_negative)
    assert multipliers is not None  # by the recipe's checks
    by_b, by_std = (multiplier.astype(np.float32) for multiplier in multipliers)
    return DynamicParams(
        source=point.observed,
        per_channel=per_channel,
        bits=bits,
        b_multiplier=by_b,
        std_multiplier=by_std,
        half=point.non_negative,
        rectified=point.non_negative and point.pre_activation is None,
        limit=point.upper,
    )


def _moving(statistics: Statistics, name: str, per_channel: bool, rule: Clipping) -> FloatArray | None:
    asked = rule.moving_percentile
    if asked is None:
        return None
    if statistics.moving_percentile != asked:
        raise OnnxqError(
            f"the statistics have no moving average of the {asked:g}th percentile; run `onnxq calibrate` again with "
            f"`moving_percentile` {asked:g}"
        )
    averages = statistics.moving[name]
    return averages[:-1] if per_channel else averages[-1:]
