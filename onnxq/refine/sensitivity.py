"""Measure what widths of weights do to the outputs of a network, layer by layer. A part of ``refine``.

One pass over the images gives the second moments G of what each layer reads. A weight W that was rounded to V, by error
feedback where the recipe rounds so, makes the error e = tr((V - W) G (V - W)^T) in what the layer makes, its bias made
up for. It is judged on images that V does not know: the last layer has one sample of each, and where these are fewer
than its inputs, V fits those that it knows. What e does to the network's outputs is measured at two widths, each layer
alone in the float network, and at other widths goes with e (HAWQ-V2, Dong et al. 2020, has the trace of a Hessian
in the place of that). The error of what a layer reads comes through its weights, and does to the outputs what as large
an error of its weights does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from onnxq.core.layers import Layer
from onnxq.core.qparams import QuantizedWeight
from onnxq.core.sensitivity import LayerSensitivity, Sensitivity
from onnxq.decide.weights import quantize_weight
from onnxq.errors import OnnxqError
from onnxq.formats import FORMATS
from onnxq.formats.affine import Affine
from onnxq.formats.symmetric import Symmetric
from onnxq.graph.model_files import fingerprint, fixed_batch_size
from onnxq.recipe import Override
from onnxq.recipe.rounding import ROUNDINGS, Rounding
from onnxq.refine.alone import Changed, effects_alone
from onnxq.refine.gptq import PARTS, ErrorFeedback, grouped
from onnxq.refine.judging_images import JudgingImages
from onnxq.refine.reads import read_errors
from onnxq.refine.refinement import Draft, Images, Run
from onnxq.refine.samples import window_of
from onnxq.refine.stepper import Pair, side_by_side
from onnxq.rounding.moments import Moments
from onnxq.rounding.parallel import one_thread_a_call, product

UNIFORM = (2, 4)  # widths that are rounded at: errors shrink by a constant factor between, to a quarter a bit beyond
OTHERS = (2, 4, 6, 8)  # of formats whose levels are not uniform
WIDTHS = range(2, 9)
MEASURED = (2, 4)  # widths whose effect on the network is measured
MADE_UP = 0.5  # of what the first layer does, by those behind it; less in proportion to how many there are
FEWEST = 4  # images
POSITIONS = 5_000  # of outputs, over all images, where the input of a layer is looked at
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Rounded:
    """A layer at several widths.

    Attributes:
        errors: width -> e, of a position. changed: width -> the layer rounded so, where that makes an error.
        read_errors: width -> the same e of an input of that width.
        products: multiplications an image.
    """

    layer: Layer
    errors: dict[int, float]
    changed: dict[int, Changed]
    read_errors: dict[int, float]
    products: int


def measured_sensitivity(draft: Draft, images: Images, run: Run) -> Sensitivity:
    """Of all layers that are quantized.

    Raises:
        OnnxqError: the images do not fit the model, or there are fewer than four.
    """
    can = draft.plan.target.weight_bits
    if can is not None and len(can) < 2:
        raise OnnxqError("there is nothing to choose: this target has weights of one width")
    step = ErrorFeedback(alpha=0.0, positions=POSITIONS)
    judging = JudgingImages(images, PARTS, whole_batches=fixed_batch_size(draft.source) is not None)
    with one_thread_a_call(), side_by_side(draft, judging, run) as pair:
        if pair.images < FEWEST:
            raise OnnxqError(f"{pair.images} images tell too little of layers: give {FEWEST} at least, better hundreds")
        rounded = []
        for index, layer in enumerate(draft.layers):
            rounded.append(_at_widths(draft, step, layer, pair, index))
            if run.progress:
                run.progress(pair.share(index, 2 * len(draft.layers)))
        seen = pair.images
    changes = [(place, bits, change) for place, each in enumerate(rounded) for bits, change in each.changed.items()]
    measured: list[dict[int, float]] = [{} for _ in rounded]

    def done(place: int) -> None:
        if run.progress:
            run.progress(pair.share(len(changes) + place, 2 * len(changes)))

    effects = effects_alone(draft, [[change] for _, _, change in changes], judging.chosen, run, done)
    for (place, bits, _), effect in zip(changes, effects, strict=True):
        measured[place][bits] = effect
    layers = tuple(
        _sensitivity(each, found, share)
        for each, found, share in zip(rounded, measured, left_over(draft.recipe.rounding, len(rounded)), strict=True)
    )
    return Sensitivity(layers, seen, fingerprint(draft.source), made_for(draft))


def made_for(draft: Draft) -> str:
    """What of its recipe sensitivities depend on most: the format of weights, and their rounding."""
    form, rounding = draft.recipe.weights.format, draft.recipe.rounding
    assert form is not None and rounding is not None
    return f"{json.dumps(FORMATS.written(form))}, rounding {ROUNDINGS.name_of(rounding)}"


def left_over(rounding: Rounding | None, count: int) -> list[float]:
    """The share of the effect of each layer that those behind it do not make up for, as rounding by what layers make
    of images lets them do: with it predictions and files agree better (docs/methods.md)."""
    makes_up = MADE_UP if rounding is not None and rounding.step is not None else 0.0
    return [1 - makes_up * (count - 1 - place) / max(count - 1, 1) for place in range(count)]


def _sensitivity(rounded: _Rounded, measured: Mapping[int, float], share: float) -> LayerSensitivity:
    """Of a layer whose effect is known at some widths.

    Args:
        share: of the effect that is left.
    """
    errors = _errors(rounded)
    ratios = {bits: effect / rounded.errors[bits] for bits, effect in measured.items()}  # of effect to error

    def ratio(bits: int) -> float:
        """Changes by a constant factor a bit between those that are known, and not beyond."""
        below, above = (
            max((b for b in ratios if b <= bits), default=0),
            min((b for b in ratios if b >= bits), default=0),
        )
        if not below or not above or below == above:
            return ratios[below or above]
        part = (bits - below) / (above - below)
        return float(ratios[below] ** (1 - part) * ratios[above] ** part)

    effects = {bits: share * error * ratio(bits) if ratios else 0.0 for bits, error in errors.items()}
    widest = dict(zip(effects, np.maximum.accumulate(list(effects.values())[::-1])[::-1].tolist(), strict=True))
    usual = share * ratio(max(ratios)) if ratios else 0.0
    reads = {bits: error * usual for bits, error in rounded.read_errors.items()}
    layer = rounded.layer
    return LayerSensitivity(layer.name, layer.op, int(layer.weight.size), rounded.products, widest, reads)


def _errors(rounded: _Rounded) -> dict[int, float]:
    """At all widths."""
    known = sorted(rounded.errors)
    errors = {}
    for bits in WIDTHS:
        below = max((width for width in known if width <= bits), default=known[0])
        above = min((width for width in known if width >= bits), default=below)
        low, high = rounded.errors[below], rounded.errors[above]
        if bits > max(known):
            errors[bits] = low * 0.25 ** (bits - below)
        elif above == below or low == 0:
            errors[bits] = low
        else:  # a quarter a bit where nothing is left at the upper one
            factor = (high / low) ** (1 / (above - below)) if high > 0 else 0.25
            errors[bits] = low * factor ** (bits - below)
    return errors


def _at_widths(draft: Draft, step: ErrorFeedback, layer: Layer, pair: Pair, index: int) -> _Rounded:
    shape = next((inputs[0].shape for inputs in pair.inputs(layer.name)), None)
    parts = step.moments(layer, pair, index) if shape is not None else []
    if layer.computed_bias:
        parts = [part.about_zero() for part in parts]
    fitting, judging = (parts[0], parts[-1]) if parts else (None, None)
    weight = grouped(layer.weight, layer)
    is_uniform = isinstance(draft.recipe.weights.format, Affine | Symmetric)
    made = {bits: _rounded(draft, step, layer, fitting, bits) for bits in _known_widths(draft, is_uniform)}
    errors = {}
    for bits, each in made.items():
        off = grouped(each.dequantized(), layer) - weight
        errors[bits] = float(((product(off, judging.own) if judging is not None else off) * off).sum())
    measured = [bits for bits in MEASURED if errors.get(bits, 0) > 0] or [bits for bits in errors if errors[bits] > 0][
        :1
    ]
    changed = {bits: _changed(layer, made[bits].dequantized(), fitting) for bits in measured}
    places = prod(window_of(layer, shape).positions(shape)) if shape is not None else 1
    rows = shape[0] / max(pair.images_of_first_batch, 1) if shape is not None else 1  # of a product: many an image
    products = int(layer.weight.size * places * rows)
    return _Rounded(layer, errors, changed, read_errors(draft, layer), products)


def _changed(layer: Layer, values: Float32, moments: Moments | None) -> Changed:
    """With a bias that keeps the mean of what the layer makes."""
    bias = layer.bias
    if moments is not None and not layer.computed_bias:
        off = grouped(layer.weight, layer) - grouped(values, layer)
        shift = (off @ moments.mean[:, :, None])[:, :, 0].reshape(-1)
        bias = np.asarray((shift if bias is None else bias + shift).astype(np.float32))
    return Changed(layer, values, bias)


def _known_widths(draft: Draft, is_uniform: bool) -> list[int]:
    can = draft.plan.target.weight_bits
    return [bits for bits in (UNIFORM if is_uniform else OTHERS) if can is None or bits in can] or list(can or ())


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
