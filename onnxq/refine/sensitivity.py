"""Measure what widths of weights do to the outputs of a network, layer by layer. A part of ``refine``.

One pass over the images gives the second moments G of what each layer reads. A weight W that was rounded to V, by error
feedback where the recipe rounds so, makes the error e = tr((V - W) G (V - W)^T) in what the layer makes, its bias made
up for. It is judged on images that V does not know: the last layer has one sample of each, and where these are fewer
than its inputs, V fits those that it knows. What e does to the network's outputs is measured at one width, each layer
alone in the float network, and at other widths goes with e (HAWQ-V2, Dong et al. 2020, has the trace of a Hessian
in the place of that).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.feeds import Batch, as_batch
from onnxq.core.layers import Layer
from onnxq.core.qparams import QuantizedWeight
from onnxq.core.sensitivity import LayerSensitivity, Sensitivity
from onnxq.decide.weights import quantize_weight
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import fingerprint
from onnxq.graph.names import Names
from onnxq.recipe import Override
from onnxq.recipe.override import WORDS
from onnxq.refine.gptq import PARTS, ErrorFeedback, grouped
from onnxq.refine.judge import is_of_images, relative_errors
from onnxq.refine.refinement import Draft, Images, Run
from onnxq.refine.samples import window_of
from onnxq.refine.settle import node_of
from onnxq.refine.stepper import Pair, side_by_side
from onnxq.rounding.moments import Moments
from onnxq.rounding.parallel import one_thread_a_call, product
from onnxq.runtime.batches import arrays_of
from onnxq.runtime.graph_session import graph_session

ROUNDED = (2, 4)  # widths that are rounded at; errors shrink by a constant factor between, to a quarter a bit beyond
WIDEST = 8
MEASURED = 4  # the width whose effect on the network is measured
JUDGING = PARTS - 1  # the part of the images that judges what others were rounded by
IMAGES = 16  # to measure it on
POSITIONS = 5_000  # of outputs, over all images, where the input of a layer is looked at
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Rounded:
    """A layer at several widths.

    Attributes:
        errors: width -> e, of a position. weight, bias: what it computes with at ``MEASURED`` bits.
        products: multiplications an image.
    """

    layer: Layer
    errors: dict[int, float]
    weight: Float32
    bias: Float32 | None
    products: int


def free_layers(draft: Draft) -> list[Layer]:
    """Those whose width is nobody's wish: no override names them with bits."""
    wishes = [each for each in draft.recipe.overrides if each.weight_bits is not None and each.layers not in WORDS]
    return [layer for layer in draft.layers if not any(wish.covers(layer) for wish in wishes)]


def measured_sensitivity(draft: Draft, images: Images, run: Run) -> Sensitivity:
    """Of all layers that are quantized and whose width is free.

    Raises:
        OnnxqError: the images do not fit the model, or there are none.
    """
    step = ErrorFeedback(alpha=0.0, positions=POSITIONS)
    kept: list[Batch] = []

    def few() -> Iterator[Batch]:
        seen = 0
        for given in images:
            batch = as_batch(given)
            judging = batch[np.arange(seen, seen + len(batch)) % PARTS == JUDGING] if len(batch) >= PARTS else batch
            if sum(map(len, kept)) < IMAGES:
                kept.append(judging[: IMAGES - sum(map(len, kept))].copy())
            seen += len(batch)
            yield batch

    names = {layer.name for layer in free_layers(draft)}
    rounded = []
    with one_thread_a_call(), side_by_side(draft, few(), run) as pair:
        for index, layer in enumerate(draft.layers):
            if layer.name in names:
                rounded.append(_at_widths(draft, step, layer, pair, index))
            if run.progress:
                run.progress(pair.share(index, len(draft.layers)))
        seen = pair.images
    gains = _effects(draft, rounded, kept, run)
    layers = tuple(_sensitivity(each, gain) for each, gain in zip(rounded, gains, strict=True))
    return Sensitivity(layers, seen, fingerprint(draft.source))


def _sensitivity(rounded: _Rounded, measured: float) -> LayerSensitivity:
    known = rounded.errors[MEASURED]
    first, last = ROUNDED
    errors = {bits: known * 0.25 ** (bits - last) for bits in range(last, WIDEST + 1)}
    for bits in range(first, last):
        share = (bits - first) / (last - first)
        errors[bits] = rounded.errors[first] ** (1 - share) * rounded.errors[last] ** share
    layer = rounded.layer
    effects = {bits: measured * error / known if known > 0 else 0.0 for bits, error in sorted(errors.items())}
    return LayerSensitivity(layer.name, layer.op, int(layer.weight.size), rounded.products, effects)


def _at_widths(draft: Draft, step: ErrorFeedback, layer: Layer, pair: Pair, index: int) -> _Rounded:
    shape = next((inputs[0].shape for inputs in pair.inputs(layer.name)), None)
    parts = step.moments(layer, pair, index) if shape is not None else []
    if layer.computed_bias:
        parts = [part.about_zero() for part in parts]
    fitting, judging = (parts[0], parts[-1]) if parts else (None, None)
    weight = grouped(layer.weight, layer)
    made = {bits: _rounded(draft, step, layer, fitting, bits) for bits in ROUNDED}
    errors = {}
    for bits, each in made.items():
        off = grouped(each.dequantized(), layer) - weight
        errors[bits] = float(((product(off, judging.own) if judging is not None else off) * off).sum())
    values, bias = made[MEASURED].dequantized(), layer.bias
    if fitting is not None and not layer.computed_bias:
        shift = ((weight - grouped(values, layer)) @ fitting.mean[:, :, None])[:, :, 0].reshape(-1)
        bias = np.asarray((shift if bias is None else bias + shift).astype(np.float32))
    places = prod(window_of(layer, shape).positions(shape)) if shape is not None else 1
    return _Rounded(layer, errors, values, bias, int(layer.weight.size) * places)


def _rounded(draft: Draft, step: ErrorFeedback, layer: Layer, moments: Moments | None, bits: int) -> QuantizedWeight:
    everywhere = Override("*", weight_bits=bits)
    own = replace(draft, recipe=replace(draft.recipe, overrides=(*draft.recipe.overrides, everywhere)))
    asked, rounding = own.recipe.weights, own.recipe.rounding
    assert asked.granularity is not None and asked.correction is not None and rounding is not None
    if moments is not None and rounding.step is not None:
        found = step.rounded(own, layer, [layer], moments, grouped(layer.weight, layer))
        if found is not None:
            return found
    choice = own.recipe.weight_choice([layer])
    return quantize_weight(layer.weight, choice, asked.granularity, rounding, asked.correction)


def _effects(draft: Draft, rounded: Sequence[_Rounded], batches: Sequence[Batch], run: Run) -> list[float]:
    """The effect on outputs of each layer alone, at ``MEASURED`` bits."""
    graph, places = draft.graph.copy(), dict[str, tuple[str, str | None]]()
    usual: dict[str, Float32] = {}
    names = Names(graph)
    for each in rounded:  # what is computed with becomes inputs, so that one session serves all
        node = node_of(graph, each.layer.name)
        weight = gs.Variable(names.fresh(f"{each.layer.name}/weight"), np.float32, each.layer.weight.shape)
        node.inputs[1] = weight
        graph.inputs.append(weight)
        usual[weight.name] = each.layer.weight
        places[each.layer.name] = weight.name, None
        if each.bias is not None:
            bias = gs.Variable(names.fresh(f"{each.layer.name}/bias"), np.float32, each.bias.shape)
            node.inputs = [*node.inputs[:2], bias]
            graph.inputs.append(bias)
            usual[bias.name] = np.zeros_like(each.bias) if each.layer.bias is None else each.layer.bias
            places[each.layer.name] = weight.name, bias.name
    given = [entry.name for entry in draft.graph.inputs]
    outputs = [output.name for output in graph.outputs]
    session = graph_session(graph, draft.source, run.provider)

    def made(changed: dict[str, Float32]) -> list[list[NDArray[Any]]]:
        return [session.run(outputs, {**arrays_of(batch, given), **usual, **changed}) for batch in batches]

    exact = made({})
    counted = [place for place in range(len(outputs)) if _counts(place, exact, batches)]
    if not counted:
        raise OnnxqError("no output of the network is numbers for each image: nothing to measure effects on")
    effects = []
    for each in rounded:
        weight_name, bias_name = places[each.layer.name]
        changed = {weight_name: each.weight}
        if bias_name is not None and each.bias is not None:
            changed[bias_name] = each.bias
        got = made(changed)
        found = [
            float(relative_errors(*([batch[place].reshape(len(batch[place]), -1).astype(np.float64) for batch in side]
                                    for side in (exact, got))).sum())
            for place in counted
        ]  # fmt: skip
        effects.append(float(np.mean(found)))
    return effects


def _counts(place: int, exact: list[list[NDArray[Any]]], batches: Sequence[Batch]) -> bool:
    return all(is_of_images(made[place], batch) for made, batch in zip(exact, batches, strict=True))
