"""From a float model and its statistics to a quantized model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

import onnxq
from onnxq.correction import measured_shift
from onnxq.errors import OnnxqError
from onnxq.files import fingerprint, load_model, set_metadata, size_of
from onnxq.graph import OPSET, to_graph, to_model
from onnxq.network import SHAPED_PLACEMENTS, layers_of, other_activations, same_grids
from onnxq.operators import fixed_point_conv
from onnxq.passes.correct_biases import correct_biases
from onnxq.passes.normalize import normalize
from onnxq.passes.quantize_linear import INT2_OPSET
from onnxq.plan import Plan, decide
from onnxq.recipe import Recipe
from onnxq.renormalization import measured_match, renormalized
from onnxq.rewrite import carry_out
from onnxq.statistics import Statistics


@dataclass(frozen=True)
class Quantized:
    """A quantized model with the plan it carries out.

    Attributes:
        float_bytes: size of the float model, its external data included.
        notes: what was asked for and could not be expressed, a sentence each.
    """

    model: onnx.ModelProto
    plan: Plan
    float_bytes: int
    notes: tuple[str, ...]


def quantize(
    model: onnx.ModelProto | str | Path,
    statistics: Statistics | str | Path | None,
    recipe: Recipe,
    *,
    images: Iterable[NDArray[np.float32]] | None = None,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Quantized:
    """Quantize a float model.

    Args:
        model: a model, or its path.
        statistics: of that model, or their path; None where only weights are quantized and biases not corrected.
        images: preprocessed batches, float32 [N, C, H, W], for ``bias_correction='images'`` and ``renormalize``, which
            keep them in memory; ``provider`` and ``progress`` as in ``onnxq.calibrate``.

    Raises:
        OnnxqError: an input cannot be read, the statistics belong to another model, or images are missing.
    """
    if recipe.needs_images and images is None:
        raise OnnxqError("--bias-correction images and --renormalize need images: give --data, or leave them out")
    source = load_model(model) if isinstance(model, (str, Path)) else model
    seen = Statistics.load(statistics) if isinstance(statistics, (str, Path)) else statistics
    actual = fingerprint(source)
    if seen is not None:
        seen.check_belongs(actual)
    needs_int2 = recipe.format == "qdq" and 2 in (recipe.bits_of_weight(True), recipe.bits_of_weight(False))
    graph = to_graph(source, INT2_OPSET if needs_int2 else OPSET, shapes=recipe.placement in SHAPED_PLACEMENTS)
    normalize(graph)
    float_graph = graph.copy() if recipe.renormalize else None
    plan = make_plan(graph, seen, recipe)
    batches = list(images) if images is not None and recipe.needs_images else []
    shifts = plan.bias_shifts
    if recipe.bias_correction == "images":
        shifts = measured_shift(graph, source, plan, batches, provider=provider, progress=progress)
    notes = correct_biases(graph, shifts)
    if float_graph is not None:
        match = measured_match(float_graph, graph, source, plan, batches, provider=provider, progress=progress)
        plan = renormalized(plan, graph, match)
        notes += match.notes + correct_biases(graph, match.offsets, match.gains)
    notes += carry_out(graph, plan)
    is_native = any(node.op == fixed_point_conv.NAME for node in graph.nodes)
    quantized = to_model(graph, source)
    set_metadata(
        quantized,
        {
            "onnxq.version": onnxq.__version__,
            "onnxq.recipe": recipe.to_json(),
            "onnxq.source": actual,
            "onnxq.calibration_images": str(seen.images if seen is not None else 0),
            **({"onnxq.needs": "the native library of onnxq (FixedPointConv)"} if is_native else {}),
        },
    )
    return Quantized(quantized, plan, size_of(source), notes)


def make_plan(graph: gs.Graph, statistics: Statistics | None, recipe: Recipe) -> Plan:
    """The plan for a normalized graph."""
    layers, others = layers_of(graph), other_activations(graph, recipe.placement)
    same: dict[str, str] = {}
    if recipe.placement == "integer":
        same = same_grids(graph, {activation.name for activation in (*others, *(la.activation for la in layers))})
    return decide(layers, statistics, recipe, others, same)
