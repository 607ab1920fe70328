"""From a float model and its statistics to a quantized model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

import onnxq
from onnxq.correction import measured_shift
from onnxq.errors import OnnxqError
from onnxq.files import fingerprint, load_model, set_metadata
from onnxq.graph import OPSET, to_graph, to_model
from onnxq.network import layers_of
from onnxq.passes.correct_biases import correct_biases
from onnxq.passes.normalize import normalize
from onnxq.passes.pack_weights import pack_weights
from onnxq.passes.quantize_activations import quantize_activations
from onnxq.passes.quantize_linear import INT2_OPSET, quantize_linear
from onnxq.plan import Plan, decide
from onnxq.recipe import Recipe
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
    statistics: Statistics | str | Path,
    recipe: Recipe,
    *,
    images: Iterable[NDArray[np.float32]] | None = None,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Quantized:
    """Quantize a float model.

    Args:
        model: a model, or its path.
        statistics: of that model, or their path.
        images: preprocessed batches, float32 [N, C, H, W], for ``bias_correction='images'``; ``provider`` and
            ``progress`` as in ``onnxq.calibrate``.

    Raises:
        OnnxqError: an input cannot be read, the statistics belong to another model, or images are missing.
    """
    if recipe.needs_images and images is None:
        raise OnnxqError("bias correction from images needs images: give --data, or take --bias-correction statistics")
    source = load_model(model) if isinstance(model, (str, Path)) else model
    seen = Statistics.load(statistics) if isinstance(statistics, (str, Path)) else statistics
    if seen.fingerprint != (actual := fingerprint(source)):
        raise OnnxqError(
            f"these statistics belong to another model ({seen.fingerprint[:12]}, this one is {actual[:12]}); "
            "run `onnxq calibrate` on this model"
        )
    needs_int2 = recipe.format == "qdq" and min(recipe.weight_bits, recipe.edge_bits) == 2
    graph = to_graph(source, INT2_OPSET if needs_int2 else OPSET)
    normalize(graph)
    plan = decide(layers_of(graph), seen, recipe)
    shifts = plan.bias_shifts
    if images is not None and recipe.needs_images:
        shifts = measured_shift(graph, source, plan, images, provider=provider, progress=progress)
    notes = correct_biases(graph, shifts)
    if recipe.format == "qdq":
        notes += quantize_linear(graph, plan)
    else:
        quantize_activations(graph, plan)
        pack_weights(graph, plan)
    quantized = to_model(graph, source)
    set_metadata(
        quantized,
        {
            "onnxq.version": onnxq.__version__,
            "onnxq.recipe": recipe.to_json(),
            "onnxq.source": seen.fingerprint,
            "onnxq.calibration_images": str(seen.images),
        },
    )
    return Quantized(quantized, plan, source.ByteSize(), notes)
