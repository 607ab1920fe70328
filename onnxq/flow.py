"""The flow, as a list of steps: from a float model and its statistics to a quantized model.

Called by the command line and by whoever quantizes in Python. (``onnxq.quantize`` is the function; a module of that
name would hide it.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from onnxq._version import __version__
from onnxq.core.checks import check_callable, check_type
from onnxq.core.feeds import Batches
from onnxq.core.metadata_keys import CALIBRATION_IMAGES, IMAGES, RECIPE, SOURCE
from onnxq.core.plan import Plan
from onnxq.core.sensitivity import Sensitivity
from onnxq.core.statistics import Statistics
from onnxq.decide import decide
from onnxq.errors import OnnxqError
from onnxq.graph.analysis import MULTIPLYING, network_of
from onnxq.graph.compact import compact
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.model_files import as_model, fingerprint, fixed_batch_size, set_metadata, size_of
from onnxq.graph.normalize import normalize
from onnxq.graph.understanding import understanding
from onnxq.graph.weights import float_weights
from onnxq.observe.calibrate import calibrate
from onnxq.operators import fixed_point_conv
from onnxq.recipe import Recipe
from onnxq.recipe.parts import BATCHES, Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import BUDGET, STEPS, Default
from onnxq.refine import Draft, Refinement, Run
from onnxq.refine.budget import Budget
from onnxq.refine.held_back import EVERY, HeldBack
from onnxq.refine.sensitivity import measured_sensitivity
from onnxq.refine.take_steps import Distances, take_steps
from onnxq.rewrite import carry_out
from onnxq.rewrite.integer_types import INT2_OPSET
from onnxq.runtime.sessions import check_loads

BETWEEN_IN_FLOAT = (
    "quantizers are at the inputs of layers only, as in the statistics: for integer kernels throughout, calibrate with "
    "`target` onnxruntime, or quantize with `data` alone"
)
MOST_LEFT = 0.02  # of the weights that stay in float without a note
WITHOUT_STATISTICS = (
    "weights were quantized without statistics, so that biases were not corrected: networks with depthwise "
    "convolutions lose most of their accuracy by that; calibrate, and give `statistics`"
)


@dataclass(frozen=True)
class Quantized:
    """A quantized model with the plan it carries out.

    Attributes:
        float_bytes: size of the float model, its external data included.
        notes: what was asked for and could not be expressed, a sentence each.
        distances: to the float network, step by step.
        weights: how many the float model has. left: operator -> how many of them are float in this one, too.
    """

    model: onnx.ModelProto = field(repr=False)
    plan: Plan = field(repr=False)
    float_bytes: int
    notes: tuple[str, ...]
    distances: Distances
    weights: int
    left: Mapping[str, int]

    @property
    def share(self) -> float:
        """Of the weights, how many are quantized."""
        return 1 - sum(self.left.values()) / max(self.weights, 1)


def quantize(
    model: onnx.ModelProto | str | Path,
    statistics: Statistics | str | Path | None,
    recipe: Recipe,
    *,
    images: Batches | None = None,
    hold_back: int = EVERY,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Quantized:
    """Quantize a float model.

    Args:
        model: a model, or its path.
        statistics: of that model, or their path; None where only weights are quantized, or to calibrate on ``images``.
        images: preprocessed batches, float32 [N, C, H, W], or arrays by name, for what looks at images; they are gone
            through once for each pass (``passes_of``; ``Loader.images``, or a list). ``provider`` and ``progress`` as
            in ``onnxq.calibrate``.
        hold_back: one of so many images is held back from all steps, to judge them: a step that takes the network
            further from the float one is undone. 0: none is.

    Raises:
        OnnxqError: an input cannot be read, the statistics belong to another model, or images are missing.
        TypeError: an argument is of another type.
    """
    source = as_model(model)
    check_type("recipe", recipe, Recipe)
    check_callable("progress", progress)
    check_type("images", images, (Iterable, type(None)))
    check_type("statistics", statistics, (Statistics, str, Path, type(None)))
    seen = Statistics.load(statistics) if isinstance(statistics, (str, Path)) else statistics
    if not isinstance(hold_back, int) or hold_back < 0 or hold_back == 1:
        raise OnnxqError(f"`hold_back` must be a whole number of at least 2, or 0 for none, not {hold_back!r}")
    whole = resolved_for(recipe, seen, has_images=images is not None)
    calibrates = _calibrates(whole, seen, images is not None)
    steps = _refinements(whole, has_statistics=seen is not None or calibrates)
    for step in steps:
        step.check_installed()
    _check_images(images, _passes(steps) + calibrates)
    held = HeldBack(images if images is not None else (), hold_back, fixed_batch_size(source) is not None)
    run = Run(provider, progress)
    if not calibrates:  # which looks itself
        check_loads(source)
    else:
        seen = _calibrated(source, held, whole.resolved_points, whole.activations, run)
    actual = fingerprint(source)
    if seen is not None:
        seen.check_belongs(actual)
    draft, distances = take_steps(_decided(source, seen, whole), steps, held, run)
    first = (WITHOUT_STATISTICS,) if seen is None and not steps and whole.steps is None else ()
    graph = draft.graph.copy()
    weights = float_weights(graph).total()
    notes = (*first, *draft.notes, *carry_out(graph, draft.plan))
    left = float_weights(graph)
    is_native = any(node.op == fixed_point_conv.NAME for node in graph.nodes)
    quantized = to_model(graph, source)
    if draft.plan.target.standard_operators:
        compact(quantized)
    set_metadata(
        quantized,
        {
            "onnxq.version": __version__,
            RECIPE: _written(recipe, whole, draft.recipe).to_json(),
            SOURCE: actual,
            CALIBRATION_IMAGES: str(seen.images if seen is not None else 0),
            **({IMAGES: str(held.given)} if held.given else {}),
            **({"onnxq.distances": distances.to_json()} if distances.images else {}),
            **({"onnxq.needs": "the native library of onnxq (FixedPointConv)"} if is_native else {}),
        },
    )
    limits = [step.bytes_for(size_of(source)) for step in steps if isinstance(step, Budget)]
    if limits and (size := quantized.ByteSize()) > limits[0]:
        notes = (f"the file has {size} bytes, more than asked for: `steps` behind the budget added some", *notes)
    if weights and left.total() > MOST_LEFT * weights:
        notes = (_left_in_float(left, weights), *notes)
    return Quantized(quantized, draft.plan, size_of(source), notes, distances, weights, left)


def measure_sensitivity(
    model: onnx.ModelProto | str | Path,
    statistics: Statistics | None,
    recipe: Recipe,
    images: Batches,
    *,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Sensitivity:
    """What widths of the weights of each layer do to the outputs of a float model.

    Args:
        statistics: of the model, or None to calibrate on ``images``, which are gone through twice then.
        recipe: whose rounding and number format count, and whose activations are quantized before.

    Raises:
        OnnxqError: as ``quantize``.
    """
    source, run = as_model(model), Run(provider, progress)
    whole = resolved_for(recipe, statistics, has_images=True)
    statistics = needed_statistics(source, statistics, recipe, images, provider=provider, progress=progress)
    if statistics is not None:
        statistics.check_belongs(fingerprint(source))
    return measured_sensitivity(_decided(source, statistics, whole), images, run)


def needed_statistics(
    model: onnx.ModelProto | str | Path,
    statistics: Statistics | None,
    recipe: Recipe,
    images: Batches,
    *,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Statistics | None:
    """Those given, or what a recipe needs, taken of ``images``: for whoever quantizes a model more than once."""
    whole = resolved_for(recipe, statistics, has_images=True)
    if not _calibrates(whole, statistics, True):
        return statistics
    return _calibrated(as_model(model), images, whole.resolved_points, whole.activations, Run(provider, progress))


def _written(asked: Recipe, resolved: Recipe, reached: Recipe) -> Recipe:
    """The recipe that makes the same file again: what a budget chose stands in its place."""
    chosen = reached.overrides[len(resolved.overrides) :]
    if not chosen:
        return asked
    steps = tuple(step for step in asked.steps or () if STEPS.name_of(step) != BUDGET)
    left = None if steps == (Default(),) else steps
    return replace(asked, steps=left, overrides=(*asked.overrides, *chosen))


def _left_in_float(left: Mapping[str, int], weights: int) -> str:
    most_first = sorted(left.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{op} {100 * count / weights:.1f} %" for op, count in most_first)
    return f"{100 * sum(left.values()) / weights:.1f} % of the weights stay in float: {shares}"


def passes_of(recipe: Recipe, statistics: Statistics | None, *, has_images: bool = False) -> int:
    """How often images are run through while quantizing, calibration included where there are no statistics."""
    whole = resolved_for(recipe, statistics, has_images=has_images)
    calibrates = _calibrates(whole, statistics, has_images)
    return _passes(_refinements(whole, has_statistics=statistics is not None or calibrates)) + calibrates


def resolved_for(recipe: Recipe, statistics: Statistics | None, *, has_images: bool = False) -> Recipe:
    """The recipe without None, its points those of the statistics where nothing else is asked for.

    Raises:
        OnnxqError: the statistics were taken at other points than the recipe's.
    """
    observed = statistics.origin.points if statistics is not None else None
    return recipe.resolved(observed, has_images=has_images)


def _calibrates(recipe: Recipe, statistics: Statistics | None, has_images: bool) -> bool:
    """Whether statistics are to be taken."""
    return has_images and statistics is None and recipe.activations is not None


def _calibrated(
    source: onnx.ModelProto, images: Batches, points: Points, asked: Activations | None, run: Run
) -> Statistics:
    """The statistics that activations need."""
    moving = asked.clipping.moving_percentile if asked is not None and asked.clipping is not None else None
    return calibrate(
        source,
        images,
        provider=run.provider,
        points=points,
        moving_percentile=moving,
        batch_averages=asked is not None and asked.over == BATCHES,
        progress=run.progress,
    )


def _refinements(recipe: Recipe, *, has_statistics: bool) -> list[Refinement]:
    """The steps that will run, of a resolved recipe."""
    asked = recipe.resolved_steps(has_statistics=has_statistics)
    return [step for step in asked if isinstance(step, Refinement)]


def _passes(steps: list[Refinement]) -> int:
    return sum(step.passes for step in steps)


def _decided(source: onnx.ModelProto, statistics: Statistics | None, recipe: Recipe) -> Draft:
    """The draft before any step."""
    points = recipe.resolved_points
    with understanding():
        graph = to_graph(source, _opset(recipe), shapes=points.needs_shapes)
        normalize(graph, for_integer_kernels=points.for_integer_kernels, keep_batch_norm=points.keeps_batch_norm)
        network = network_of(graph)
        plan = decide(network.layers, points.of(network), statistics, recipe, network.stored)
    inside = [layer for layer in network.stored if layer.op in MULTIPLYING and layer.name in plan.stored]
    notes = [f"{len(inside)} layers inside If, Loop or Scan: their weights alone are quantized"] if inside else []
    left = sorted(network.decoding - set(plan.layers))
    notes += [f"layer {name}: reads a Softmax, as heads of detectors do, and stays in float (`guard`)" for name in left]
    if plan.target.fused_operators and not points.for_integer_kernels:
        notes.append(BETWEEN_IN_FLOAT)
    return Draft(source, graph, network, statistics, recipe, plan, tuple(notes))


def _opset(recipe: Recipe) -> int:
    target = recipe.resolved_target
    return INT2_OPSET if target.standard_operators and recipe.narrowest_weights <= 2 else target.opset


def _check_images(images: Batches | None, passes: int) -> None:
    if passes and images is None:
        raise OnnxqError(
            "steps that look at images need some: give `data`, or take `rounding` nearest and no such `steps`"
        )
    if passes > 1 and isinstance(images, Iterator):
        raise OnnxqError(f"images are gone through {passes} times: give a list, or Loader.images, not an iterator")
