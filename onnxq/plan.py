"""From statistics, weights and a recipe to a plan: pure functions, no ONNX, no session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from onnxq.activations import (
    Seen,
    allocate_bits,
    fixed_point_grid,
    powers_grid,
    symmetric_grid,
    uniform_grid,
)
from onnxq.clipping.expected import expected_value
from onnxq.dynamic import DynamicRange, dynamic_range
from onnxq.errors import OnnxqError
from onnxq.grids.codebook import CodebookGrid
from onnxq.grids.fixed_point import FixedPointGrid
from onnxq.grids.mid_tread import MidTreadGrid
from onnxq.grids.uniform import UniformGrid
from onnxq.mid_tread import code_weight_mid_tread, mid_tread_grid
from onnxq.network import Activation, Layer
from onnxq.recipe import POWERS, Recipe
from onnxq.shift import expected_shift
from onnxq.statistics import Statistics, TensorStatistics
from onnxq.weights import CodedWeight, code_weight

FloatArray = NDArray[np.float64]
Grid = UniformGrid | MidTreadGrid | CodebookGrid | FixedPointGrid
ActivationQuantizer = Grid | DynamicRange


@dataclass(frozen=True)
class Plan:
    """What is quantized, and how.

    Attributes:
        recipe: what was asked for.
        layers: names of the quantized nodes, in execution order.
        activations: tensor name -> its quantizer, along axis 1.
        weights: initializer name -> its codes.
        bias_shifts: node name -> float64 [C], what to add to its bias.
    """

    recipe: Recipe
    layers: tuple[str, ...]
    activations: dict[str, ActivationQuantizer]
    weights: dict[str, CodedWeight]
    bias_shifts: dict[str, FloatArray] = field(default_factory=dict)


def decide(
    layers: Sequence[Layer],
    statistics: Statistics | None,
    recipe: Recipe,
    others: Sequence[Activation] = (),
    same_grids: Mapping[str, str] | None = None,
) -> Plan:
    """Choose everything.

    A tensor that serves several layers is quantized once, at the widest bits that one of them asks for.

    Args:
        statistics: None will do where only weights are quantized and biases stay as they are.
        others: what ``recipe.placement`` quantizes beside the tensors of layers (``onnxq.network.other_activations``).
        same_grids: tensors that have the grid of another one (``onnxq.network.same_grids``).

    Raises:
        OnnxqError: nothing is left to quantize, a tensor has no statistics, or a pattern of ``recipe.skip``
            matches no layer.
    """
    if statistics is None:
        if recipe.act_bits is not None or recipe.bias_correction == "statistics":
            raise OnnxqError("calibration statistics are needed (--stats) to quantize activations or correct biases")
        statistics = Statistics("", 0, {})
    chosen = _chosen(layers, recipe)
    for pattern in recipe.alpha:
        _check_pattern(pattern, layers, "alpha")
    users: dict[Activation, list[Layer]] = {}
    weight_users: dict[str, list[Layer]] = {}
    for layer in chosen:
        if (tensor := layer.tensor(recipe.placement)) is not None and recipe.act_bits is not None:
            users.setdefault(tensor, []).append(layer)
        weight_users.setdefault(layer.weight_name, []).append(layer)
    of_layers = {tensor for layer in layers if (tensor := layer.tensor(recipe.placement)) is not None}
    for tensor in others:
        if recipe.placement != "every-op" or tensor not in of_layers:
            users.setdefault(tensor, [layer for layer in chosen if layer.activation.name == tensor.name])
    same_grids = same_grids or {}
    activations = {
        tensor.name: _activation(tensor, used_by, statistics, recipe)
        for tensor, used_by in users.items()
        if tensor.name not in same_grids
    }
    activations |= {name: activations[source] for name, source in same_grids.items() if source in activations}
    weights = {name: _weight(used_by, recipe) for name, used_by in weight_users.items()}
    plan = Plan(recipe, tuple(layer.name for layer in chosen), activations, weights)
    if recipe.bias_correction == "statistics":
        for layer in chosen:
            plan.bias_shifts[layer.name] = _bias_shift(layer, plan, statistics)
    return plan


def _chosen(layers: Sequence[Layer], recipe: Recipe) -> list[Layer]:
    for pattern in recipe.skip:
        _check_pattern(pattern, layers, "skip")
    chosen = [layer for layer in layers if not any(fnmatchcase(layer.name, pattern) for pattern in recipe.skip)]
    if not chosen:
        raise OnnxqError("no Conv or Gemm layer with constant weights is left to quantize")
    return chosen


def _check_pattern(pattern: str, layers: Sequence[Layer], option: str) -> None:
    if not any(fnmatchcase(layer.name, pattern) for layer in layers):
        names = ", ".join(layer.name for layer in layers[:3])
        raise OnnxqError(f"--{option} {pattern}: no layer has such a name; layers are named like {names}")


def _weight(users: Sequence[Layer], recipe: Recipe) -> CodedWeight:
    edge = any(layer.edge for layer in users)
    weight = users[0].weight
    if recipe.scheme == "mid-tread":
        return code_weight_mid_tread(weight, recipe.weight_bits, recipe)
    alpha = _threshold(users, "weight", recipe) if recipe.weights in POWERS else None
    bits = recipe.bits_of_weight(edge)
    return code_weight(weight, bits, recipe, allocate=recipe.allocates_weights and not edge, edge=edge, alpha=alpha)


def _threshold(users: Sequence[Layer], kind: str, recipe: Recipe) -> float | None:
    """What ``recipe.alpha`` says of the first of these layers that it names."""
    for layer in users:
        for pattern, entry in recipe.alpha.items():
            if fnmatchcase(layer.name, pattern) and kind in entry:
                return float(entry[kind])
    return None


def _activation(
    tensor: Activation, users: Sequence[Layer], statistics: Statistics, recipe: Recipe
) -> ActivationQuantizer:
    """One value a channel and image (the input of a Gemm) is too little to tell channels apart by: such a tensor is
    quantized as a whole, at the whole part of its bits.
    """
    edge = any(layer.edge for layer in users)
    bits = recipe.bits_of_activation(edge)
    own = _lookup(statistics, tensor.name)
    per_channel = recipe.act_granularity == "per-channel" and own.count > statistics.images
    before = _lookup(statistics, tensor.before) if tensor.before is not None else None
    if not per_channel:
        own, before = own.whole(), before and before.whole()
    moving = _moving(statistics, tensor.name, per_channel, recipe) if recipe.moving_average else None
    seen = Seen(own, before, tensor.non_negative, moving)
    if recipe.scheme == "mid-tread":
        return mid_tread_grid(seen, recipe.bits_of_activation(False), recipe)
    if recipe.scheme == "fixed-point":
        return fixed_point_grid(seen, int(bits), recipe)
    if recipe.scheme in POWERS and not edge:
        return powers_grid(seen, int(bits), recipe, _threshold(users, "activation", recipe))
    if recipe.symmetric:
        return symmetric_grid(seen, int(bits), recipe)
    if per_channel and recipe.allocates_activations and not edge:
        widths = allocate_bits(seen, bits, _importance(users, seen.channels, recipe), recipe)
    else:
        widths = np.full(1, int(bits), np.int32)
    if recipe.ranges == "dynamic":
        return dynamic_range(tensor, widths, per_channel, recipe)
    spread = np.broadcast_to(widths, seen.channels)
    grid = uniform_grid(seen, spread, recipe)
    return UniformGrid(grid.scale, grid.zero_point, grid.bits if len(widths) > 1 else widths)


def _importance(users: Sequence[Layer], channels: int, recipe: Recipe) -> FloatArray:
    """By how much the layers that read a tensor multiply the squared error of each of its channels, float64 [C].

    Ones where quantizers sit at outputs: who reads the tensor is not known there.
    """
    total = np.zeros(channels)
    if recipe.placement not in ("inputs", "all-inputs"):
        return total + 1
    for layer in users:
        rows, inputs = layer.weight.shape[:2]
        squares = np.square(layer.weight, dtype=np.float64).reshape(layer.group, rows // layer.group, inputs, -1)
        total += squares.sum(axis=(1, 3)).reshape(-1)
    return total if total.any() else total + 1


def _bias_shift(layer: Layer, plan: Plan, statistics: Statistics) -> FloatArray:
    own = _lookup(statistics, layer.activation.name)
    grid = plan.activations.get(layer.activation.name)
    assert not isinstance(grid, DynamicRange)  # by the recipe's checks
    quantized_mean = own.mean
    if grid is not None:
        quantized_mean = expected_value(own.histogram, own.anchor.astype(np.float64), grid)
    shift = expected_shift(layer, plan.weights[layer.weight_name].dequantized(), own.mean, quantized_mean)
    if not np.isfinite(shift).all():
        raise OnnxqError(f"layer {layer.name}: its bias correction is not finite; take --bias-correction none")
    return shift


def _moving(statistics: Statistics, name: str, per_channel: bool, recipe: Recipe) -> FloatArray:
    asked = recipe.percentile
    if statistics.moving_percentile != asked:
        raise OnnxqError(
            f"the statistics have no moving average of the {asked:g}th percentile; run `onnxq calibrate` again with "
            f"--moving-percentile {asked:g}"
        )
    averages = statistics.moving[name]
    return averages[:-1] if per_channel else averages[-1:]


def _lookup(statistics: Statistics, name: str) -> TensorStatistics:
    if name not in statistics.tensors:
        raise OnnxqError(
            f"the statistics have no tensor {name}; run `onnxq calibrate` again, with the same --placement"
        )
    return statistics.tensors[name]
