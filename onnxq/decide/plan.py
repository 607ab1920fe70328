"""From statistics, layers and a recipe to a plan. The entrance of ``decide``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxq.core.granularity import Granularity
from onnxq.core.layers import Layer
from onnxq.core.plan import Plan
from onnxq.core.points import QuantPoint
from onnxq.core.qparams import ActivationParams, QuantizedWeight
from onnxq.core.statistics import Statistics
from onnxq.decide.activations import quantize_activation
from onnxq.decide.weights import quantize_weight
from onnxq.errors import OnnxqError
from onnxq.formats.fixed_point import FLOAT_BITS
from onnxq.recipe import Recipe, Weights

Float32 = NDArray[np.float32]


def decide(
    layers: Sequence[Layer],
    points: Sequence[QuantPoint],
    statistics: Statistics | None,
    recipe: Recipe,
    stored: Sequence[Layer] = (),
) -> Plan:
    """Choose everything.

    A tensor or weight that serves several layers is quantized once, at the widest bits that one of them asks for.

    Args:
        layers: of the network. points: where quantizers sit in it (``recipe.points``).
        statistics: of the points' tensors; None will do where only weights are quantized.
        recipe: resolved.
        stored: weights that alone are quantized (``Network.stored``).

    Raises:
        OnnxqError: nothing is left to quantize, a tensor has no statistics, or a pattern matches no layer.
    """
    by_name = {layer.name: layer for layer in layers}
    all_chosen = recipe.chosen([*layers, *stored])
    chosen = [layer for layer in all_chosen if layer.name in by_name]
    alone = [layer for layer in all_chosen if layer.name not in by_name]
    names = {layer.name for layer in chosen}
    kept: dict[str, QuantPoint] = {}
    activations: dict[str, ActivationParams] = {}
    asked = recipe.activations
    if asked is not None:
        if statistics is None:
            raise OnnxqError("quantizing activations needs images (`data`), or statistics of them (`statistics`)")
        for point in points:
            point = _without_skipped(point, names, by_name)
            if point.for_layers_only and not point.layers and point.shares is None:
                continue
            users = [by_name[name] for name in point.layers]
            if point.shares is None:
                choice = recipe.activation_choice(users)
                activations[point.tensor] = quantize_activation(point, users, statistics, asked, choice)
            elif point.shares in activations:
                activations[point.tensor] = activations[point.shares]
            else:
                continue
            kept[point.tensor] = point
    return Plan(
        target=recipe.resolved_target,
        layers=tuple(layer.name for layer in chosen),
        points=kept,
        activations=activations,
        weights=quantized_weights(all_chosen, recipe),
        rounded_parameters=_parameter_rounding(chosen, recipe),
        exact_products=recipe.exact_products,
        stored=tuple(layer.name for layer in alone),
    )


def _without_skipped(point: QuantPoint, chosen: set[str], layers: dict[str, Layer]) -> QuantPoint:
    """A skipped layer asks for nothing; where others read exact tensors, so does it."""
    readers = point.readers
    if point.feeds_layers:
        readers = tuple(name for name in readers if name not in layers or name in chosen)
    return replace(point, layers=tuple(name for name in point.layers if name in chosen), readers=readers)


def quantized_weights(chosen: Sequence[Layer], recipe: Recipe) -> dict[str, QuantizedWeight]:
    """The weights of these layers, by name; of a resolved recipe.

    Raises:
        OnnxqError: one cannot be quantized.
    """
    asked, rounding = recipe.weights, recipe.rounding
    assert rounding is not None and asked.granularity is not None and asked.correction is not None
    users: dict[str, list[Layer]] = {}
    for layer in chosen:
        users.setdefault(layer.weight_name, []).append(layer)
    weights = {}
    for name, shared in users.items():
        choice = recipe.weight_choice(shared)
        try:
            weights[name] = quantize_weight(shared[0].weight, choice, asked.granularity, rounding, asked.correction)
        except OnnxqError as error:
            raise OnnxqError(f"weight {name}: {error}") from error
    return weights


class _ParameterRounding:
    """Rounds biases and parameters of batch norm in the format of the weights; ``Plan.rounded_parameters``."""

    def __init__(self, asked: Weights, bits: dict[str, float]) -> None:
        assert asked.format is not None
        self._format, self._bits, self._of_layers = asked.format, asked.bits, bits
        self._per_channel = asked.granularity is Granularity.PER_CHANNEL

    def __call__(self, layer: str | None, values: Float32) -> Float32:
        bits = int(self._format.parameter_bits(self._bits) if layer is None else self._of_layers[layer])
        if bits >= FLOAT_BITS:
            return values
        shaped = values if self._per_channel else values.reshape(1, -1)
        return self._format.round_parameter(shaped, bits).reshape(values.shape)


def _parameter_rounding(layers: Sequence[Layer], recipe: Recipe) -> _ParameterRounding | None:
    asked = recipe.weights
    assert asked.format is not None
    bits = {layer.name: recipe.weight_choice([layer]).bits for layer in layers}
    return _ParameterRounding(asked, bits) if asked.format.rounds_parameters else None
