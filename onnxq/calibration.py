"""One streaming pass over calibration images: statistics are reduced inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.files import fingerprint, load_model
from onnxq.graph import to_graph
from onnxq.graph_session import graph_session
from onnxq.network import SHAPED_PLACEMENTS, Activation, layers_of, other_activations
from onnxq.operators import observe
from onnxq.operators.observe import Observation
from onnxq.passes.insert_observers import insert_observers
from onnxq.passes.normalize import normalize
from onnxq.recipe import Placement
from onnxq.runtime import outputs_of
from onnxq.statistics import Statistics, TensorStatistics

MOMENTUM = 0.1  # of moving averages


def observed_tensors(activations: Iterable[Activation]) -> list[str]:
    """What to observe for these activations, each tensor once, in order.

    Of a tensor behind a ReLU or Clip the one before is observed: it tells both.
    """
    return list(dict.fromkeys(activation.before or activation.name for activation in activations))


def observation_graph(
    model: onnx.ModelProto, placement: Placement = "inputs"
) -> tuple[gs.Graph, list[Activation], list[str]]:
    """The model with observers, the activations that it observes, and the names of the observers' outputs.

    Raises:
        OnnxqError: it has no Conv or Gemm layer with constant weights.
    """
    graph = to_graph(model, shapes=placement in SHAPED_PLACEMENTS)
    normalize(graph)
    layers = layers_of(graph)
    tensors = [*(layer.tensor(placement) for layer in layers), *other_activations(graph, placement)]
    activations = list(dict.fromkeys(tensor for tensor in tensors if tensor is not None))
    if not layers or not activations:
        raise OnnxqError("the model has no Conv or Gemm layer with constant weights: nothing to calibrate")
    # Of the model's own outputs nothing is needed; dropping them spares the last layers.
    graph.outputs.clear()
    outputs = insert_observers(graph, observed_tensors(activations))
    return graph, activations, [name for names in outputs for name in names]


def calibrate(
    model: onnx.ModelProto | str | Path,
    batches: Iterable[NDArray[np.float32]],
    *,
    provider: str = "auto",
    native: bool | None = None,
    placement: Placement = "inputs",
    moving_percentile: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Observe a model's activations.

    Memory does not grow with the number of images.

    Args:
        model: a float model, or its path.
        batches: preprocessed images, float32 [N, C, H, W]; for example from an ``onnxq.Loader``.
        provider: 'auto', 'cpu' or 'cuda'.
        native: see ``onnxq.session_options``.
        placement: where quantizers will be (``Recipe.placement``).
        moving_percentile: also keep the moving average over batches of this percentile of |x|, each new batch counting
            for a tenth (for ``Recipe.moving_average``).
        progress: called after each batch with the number of its images.

    Raises:
        OnnxqError: the model cannot be used, there are no images, or an activation is NaN or infinite.
    """
    if moving_percentile is not None and not 50 < moving_percentile <= 100:
        raise OnnxqError("the moving percentile must be above 50 and at most 100")
    source = load_model(model) if isinstance(model, (str, Path)) else model
    graph, activations, outputs = observation_graph(source, placement)
    names = observed_tensors(activations)
    session = graph_session(graph, source, provider, native=native)
    width = len(observe.OUTPUTS)
    images = 0
    tensors: dict[str, TensorStatistics] = {}
    moving: dict[str, NDArray[np.float64]] = {}
    for batch, values in outputs_of(session, outputs, batches, progress):
        current = {
            name: TensorStatistics.of(Observation(*values[position * width : (position + 1) * width]))
            for position, name in enumerate(names)
        }
        for name, seen in current.items():
            if np.isnan(seen.minimum).any():
                raise OnnxqError(f"tensor {name} has NaN or infinite values on images {batch[0]} to {batch[-1]}")
        if moving_percentile is not None:
            for name, seen in _with_clamped(current, activations).items():
                new = seen.magnitude(moving_percentile)
                moving[name] = (1 - MOMENTUM) * moving[name] + MOMENTUM * new if name in moving else new
        for name, seen in current.items():
            tensors[name] = tensors[name].absorb(seen) if name in tensors else seen.copy()
        images += len(batch)
    if images == 0:
        raise OnnxqError("no calibration images")
    return Statistics(fingerprint(source), images, _with_clamped(tensors, activations), moving, moving_percentile)


def _with_clamped(
    tensors: dict[str, TensorStatistics], activations: Iterable[Activation]
) -> dict[str, TensorStatistics]:
    """With the statistics of tensors behind a ReLU or Clip, which those before it tell."""
    behind = {
        activation.name: tensors[activation.before].clamped(activation.upper)
        for activation in activations
        if activation.before is not None
    }
    return {**tensors, **behind}
