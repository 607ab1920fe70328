"""From statistics, weights and a recipe to a plan: pure functions, no ONNX, no session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from onnxq.clipping.aciq import gauss_multiplier, laplace_multiplier
from onnxq.clipping.interval import clip_interval
from onnxq.clipping.percentile import percentile_interval
from onnxq.errors import OnnxqError
from onnxq.grids.uniform import UniformGrid, grid_from_range
from onnxq.network import Activation, Layer
from onnxq.recipe import Recipe
from onnxq.statistics import Statistics, TensorStatistics

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """The grid of every quantized tensor, by name. Activations are quantized where they enter a layer.

    Attributes:
        recipe: what was asked for.
        layers: names of the quantized nodes, in execution order.
        activations: tensor name -> grid along axis 1.
        weights: initializer name -> grid along axis 0.
    """

    recipe: Recipe
    layers: tuple[str, ...]
    activations: dict[str, UniformGrid]
    weights: dict[str, UniformGrid]


def decide(layers: Sequence[Layer], statistics: Statistics, recipe: Recipe) -> Plan:
    """Choose all grids.

    A tensor that feeds several layers is quantized once, at the widest bits that one of them asks for.

    Raises:
        OnnxqError: nothing is left to quantize, a tensor has no statistics, or a pattern of ``recipe.skip``
            matches no layer.
    """
    for pattern in recipe.skip:
        if not any(fnmatchcase(layer.name, pattern) for layer in layers):
            names = ", ".join(layer.name for layer in layers[:3])
            raise OnnxqError(f"--skip {pattern}: no layer has such a name; layers are named like {names}")
    chosen = [layer for layer in layers if not any(fnmatchcase(layer.name, pattern) for pattern in recipe.skip)]
    if not chosen:
        raise OnnxqError("no Conv or Gemm layer with constant weights is left to quantize")

    activation_bits: dict[Activation, int] = {}
    weight_bits: dict[str, int] = {}
    weights = {layer.weight_name: layer.weight for layer in chosen}
    for layer in chosen:
        bits = recipe.edge_bits if layer.edge else recipe.act_bits
        activation_bits[layer.activation] = max(bits, activation_bits.get(layer.activation, 0))
        bits = recipe.edge_bits if layer.edge else recipe.weight_bits
        weight_bits[layer.weight_name] = max(bits, weight_bits.get(layer.weight_name, 0))
    return Plan(
        recipe=recipe,
        layers=tuple(layer.name for layer in chosen),
        activations={a.name: activation_grid(a, statistics, bits, recipe) for a, bits in activation_bits.items()},
        weights={name: weight_grid(weights[name], bits, recipe) for name, bits in weight_bits.items()},
    )


def weight_grid(weight: NDArray[np.float32], bits: int, recipe: Recipe) -> UniformGrid:
    """The grid over the full range of a weight [C, ...], one range a channel or one in all."""
    rows = weight.reshape(len(weight), -1) if recipe.weight_granularity == "per-channel" else weight.reshape(1, -1)
    lower, upper = rows.min(axis=1), rows.max(axis=1)
    if recipe.format == "qdq":  # an integer type's zero point must be one of its codes
        lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
    return grid_from_range(lower, upper, bits)


def activation_grid(activation: Activation, statistics: Statistics, bits: int, recipe: Recipe) -> UniformGrid:
    """The grid of a layer's input, by the recipe's scheme.

    A tensor that cannot be negative takes a half range: all levels from zero up. One value a channel and image
    (the input of a Gemm) is too little to tell channels apart by: such a tensor is quantized as a whole.
    """
    own = _lookup(statistics, activation.name)
    per_channel = recipe.act_granularity == "per-channel" and own.count > statistics.images
    if not per_channel:
        own = own.whole()
    before = None
    if activation.before is not None:
        before = _lookup(statistics, activation.before)
        before = before if per_channel else before.whole()
    lower, upper = _interval(activation, own, before, bits, recipe)
    if recipe.format == "qdq":
        lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
    return grid_from_range(lower, upper, bits)


def _lookup(statistics: Statistics, name: str) -> TensorStatistics:
    if name not in statistics.tensors:
        raise OnnxqError(f"the statistics have no tensor {name}; run `onnxq calibrate` again")
    return statistics.tensors[name]


def _interval(
    activation: Activation, own: TensorStatistics, before: TensorStatistics | None, bits: int, recipe: Recipe
) -> tuple[FloatArray, FloatArray]:
    """[lower, upper] of each channel, float64, never beyond the values seen."""
    half = activation.non_negative
    minimum = np.zeros(len(own.minimum)) if half else own.minimum.astype(np.float64)
    maximum = own.maximum.astype(np.float64)
    if recipe.scheme == "minmax":
        return minimum, maximum
    if recipe.scheme == "percentile":
        return percentile_interval(own.histogram, own.anchor.astype(np.float64), minimum, maximum, recipe.percentile)

    # Clipping at a multiple of the spread (Banner et al. 2019, section 3), that of the tensor before the ReLU where
    # there is one. With all bins on one side the optimum is that of one more bit.
    effective_bits = bits + 1 if half else bits
    source = before if before is not None else own
    mean, b, std = source.mean, source.b, source.std
    if half and before is None:
        # Non-negative without a tensor before the ReLU to look at (behind pooling or Concat): the positive half of a
        # density centred at zero is what there is, and E[x | x > 0] is b for Laplace, sigma * sqrt(2 / pi) for Gauss.
        mean, b = np.zeros(len(own.minimum)), own.mean_of_positive
        std = b * np.sqrt(np.pi / 2)
    if recipe.scheme == "aciq-laplace":
        alpha = laplace_multiplier(effective_bits) * b
    elif recipe.scheme == "aciq-gauss":
        alpha = gauss_multiplier(effective_bits) * std
    else:
        alpha = recipe.std_multiplier * std
    lower, upper = clip_interval(alpha, mean, source.minimum.astype(np.float64), half)
    return np.clip(lower, minimum, maximum), np.clip(upper, minimum, maximum)
