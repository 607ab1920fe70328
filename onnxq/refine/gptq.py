"""Rounding by error feedback: codes of each layer whose errors cancel in its output, on quantized inputs. A refinement.

Layers are rounded in execution order, each on what the layers before it, rounded already, make of the images. The float
network goes beside, one piece at a time (``stepper``). What is computed of a layer's moments is in ``onnxq.rounding``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.checks import number
from onnxq.core.granularity import Granularity
from onnxq.core.layers import Layer
from onnxq.core.parallel import in_parallel
from onnxq.core.qparams import QuantizedWeight
from onnxq.decide.weights import fit
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import ERROR_FEEDBACK, STEPS
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.refine.samples import choose_positions, samples, window_of
from onnxq.refine.stepper import Pair, side_by_side
from onnxq.rounding.grids import Limits, has_grid
from onnxq.rounding.moments import Moments, MomentSums, together
from onnxq.rounding.parallel import one_thread_a_call
from onnxq.rounding.solve import Freedom, output_error, round_by_output
from onnxq.rounding.target import Reach, reach_of, step_to_target

FloatArray = NDArray[np.float64]
PARTS = 2  # of the images, that judge each other's estimates
MOST_VALUES = 2**25  # that are sampled of what a layer reads: depthwise layers of many channels need fewer positions
WIDEST = 6_144  # inputs of an output whose moments are held: gigabytes beyond
UNKNOWN = "rounded to the nearest, since it reads a constant, too many values, or numbers too large to be squared"
SHRINKS = np.linspace(0.35, 1, 40)  # of ranges, to choose from
POWERS = np.array([0.25, 0.5, 1.0])  # likewise, where scales are powers of two


@STEPS.register(ERROR_FEEDBACK)
@dataclass(frozen=True)
class ErrorFeedback(Refinement):
    """Round all weights anew, and choose scales and biases with them.

    A weight of several layers is rounded for the first of them.

    Attributes:
        alpha: how much of the errors that come with a layer's input its weights make up for, 0 to 1; None: what helps
            most on images that did not estimate it, for each layer.
        damping: of the second moments, a share of their mean diagonal.
        positions: of outputs, over all images, where a layer's input is looked at. seed: of their choice.
    """

    passes: ClassVar[int] = 1

    alpha: float | None = None
    damping: float = 0.01
    positions: int = 20_000
    seed: int = 0

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """Whether its parameters are in their ranges."""
        found = [] if self.alpha is None else number("gptq.alpha", self.alpha, 0, 1)
        found += number("gptq.damping", self.damping, 1e-4, 1e6)
        whole = isinstance(self.positions, int) and isinstance(self.seed, int) and self.positions > 0 <= self.seed
        return found if whole else [*found, "`gptq.positions` and `gptq.seed` must be whole numbers, not negative"]

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        weights, biases, notes = dict(draft.plan.weights), dict(draft.plan.biases), list(draft.notes)
        settled: set[str] = set()  # weights
        with one_thread_a_call(), side_by_side(draft, images, run) as pair:
            for index, layer in enumerate(draft.layers):
                parts = self.moments(layer, pair, index)
                if parts:
                    if layer.computed_bias:
                        parts = [part.about_zero() for part in parts]
                        notes.append(f"layer {layer.name}: its bias is computed by the graph and was not corrected")
                    reach = reach_of(grouped(layer.weight, layer), parts, self.alpha)
                    whole = together(parts)
                    del parts  # of a large layer they are a gigabyte
                    if layer.weight_name not in settled:
                        weights[layer.weight_name] = self._better(draft, layer, whole, reach)
                    if not layer.computed_bias:
                        biases[layer.name] = _bias(layer, weights[layer.weight_name], whole)
                else:
                    notes.append(f"layer {layer.name}: {UNKNOWN}")
                settled.add(layer.weight_name)
                bias = biases.get(layer.name, layer.bias)
                if bias is not None and draft.plan.rounded_parameters is not None:
                    bias = draft.plan.rounded_parameters(layer.name, bias)
                pair.settle(layer.name, weights[layer.weight_name].dequantized(), bias)
                if run.progress:
                    run.progress(pair.share(index, len(draft.layers)))
        return replace(draft, plan=replace(draft.plan, weights=weights, biases=biases), notes=tuple(notes))

    def moments(self, layer: Layer, pair: Pair, index: int) -> list[Moments]:
        """Of each part of the images; empty where they cannot be had: see ``UNKNOWN``. ``index`` is the layer's."""
        width = layer.weight[0].size
        if width > WIDEST:
            return []
        weight = grouped(layer.weight, layer).astype(np.float32)
        sums = [MomentSums(weight) for _ in range(PARTS)]
        wanted = min(self.positions, MOST_VALUES // (width * layer.group))
        seen = 0
        for batch, inputs in enumerate(pair.inputs(layer.name)):
            shape = inputs[0].shape
            count = -(-wanted * shape[0] // pair.images)
            places = choose_positions(layer, shape, count, np.random.default_rng([self.seed, index, batch]))
            part = (seen + places // prod(window_of(layer, shape).positions(shape))) % PARTS
            for position, sum_ in enumerate(sums):
                sum_.add(*in_parallel(partial(samples, layer, positions=places[part == position]), inputs))
            seen += shape[0]
        parts = [sum_.moments() for sum_ in sums if sum_.count]
        return parts if all(np.isfinite(part.own).all() and np.isfinite(part.cross).all() for part in parts) else []

    def _better(self, draft: Draft, layer: Layer, whole: Moments, reach: Reach) -> QuantizedWeight:
        """The weight rounded anew, or as it was where that is better."""
        former = draft.plan.weights[layer.weight_name]
        users = [other for other in draft.layers if other.weight_name == layer.weight_name]
        weight = grouped(layer.weight, layer)
        target = weight + reach.alpha * step_to_target(weight, whole, reach.damping)
        new = self.rounded(draft, layer, users, whole, target)
        candidates = (former,) if new is None else (new, former)
        errors = [output_error(grouped(each.dequantized(), layer), whole) for each in candidates]
        return candidates[int(np.argmin(errors))]

    def rounded(
        self, draft: Draft, layer: Layer, users: Sequence[Layer], whole: Moments, target: FloatArray
    ) -> QuantizedWeight | None:
        """Codes for a target float64 [g, r, d], as the recipe has them; None where a format has no levels.

        Args:
            users: the layers that share the weight.
        """
        asked, choice = draft.recipe.weights, draft.recipe.weight_choice(users)
        assert asked.granularity is not None and asked.correction is not None
        importance = np.repeat(np.einsum("gdd->gd", whole.own), layer.channels // layer.group, axis=0)
        shaped = target.reshape(layer.weight.shape).astype(np.float32)
        params = fit(shaped, choice, asked.granularity, importance)
        if not has_grid(params):
            return None
        freedom = Freedom(
            SHRINKS if choice.format.holds_scale else POWERS,
            shared=asked.granularity is Granularity.PER_TENSOR,
            refits=choice.format.holds_scale,
            offsets=asked.correction.moves and choice.format.holds_correction,
            limits=None if choice.format.uses_all_codes else _limits(params.codes(shaped)),
        )
        return round_by_output(target, params, whole.damped(self.damping), freedom, layer.weight.shape)


def grouped(weight: NDArray[np.float32], layer: Layer) -> FloatArray:
    """A weight of this layer by group, its output channels and what these read: float64 [g, r, d]."""
    return weight.reshape(layer.group, layer.channels // layer.group, -1).astype(np.float64)


def _limits(codes: NDArray[Any]) -> Limits:
    """The smallest and the largest code of each channel."""
    rows = codes.reshape(len(codes), -1)
    return rows.min(axis=1), rows.max(axis=1)


def _bias(layer: Layer, weight: QuantizedWeight, moments: Moments) -> NDArray[np.float32]:
    """What makes the mean output that of the float network, float32 [C]: b + E[y] - V E[x^]."""
    made = (grouped(weight.dequantized(), layer) @ moments.mean[:, :, None])[:, :, 0]
    shift = (moments.mean_output - made).reshape(-1)
    return np.asarray((shift if layer.bias is None else layer.bias + shift).astype(np.float32))
