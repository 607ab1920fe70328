"""One streaming pass over calibration images. The entrance of ``observe``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.batch_averages import BatchAverages, of_one_size
from onnxq.core.checks import check_callable, check_type, number
from onnxq.core.feeds import Batches
from onnxq.core.observation import Observation
from onnxq.core.points import QuantPoint
from onnxq.core.statistics import Origin, Statistics
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.errors import NoImagesError, OnnxqError
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import as_model, fingerprint
from onnxq.graph.normalize import normalize
from onnxq.graph.understanding import understanding
from onnxq.observe.insert_observers import insert_observers
from onnxq.observe.insert_order_statistics import insert_order_statistics
from onnxq.operators import observe
from onnxq.recipe.points import POINTS, Points
from onnxq.runtime.batches import outputs_of
from onnxq.runtime.graph_session import graph_session
from onnxq.runtime.sessions import check_loads

MOMENTUM = 0.1  # of moving averages


def observed_points(points: Points, graph: gs.Graph) -> list[QuantPoint]:
    """The points of a normalized graph whose statistics are taken.

    Of those that share the quantizer of another one, only those that layers read: their biases are corrected by it.

    Raises:
        OnnxqError: it has no Conv or Gemm layer with constant weights.
    """
    network = network_of(graph)
    found = [point for point in points.of(network) if point.shares is None or point.layers]
    if not network.layers or not found:
        raise OnnxqError(
            "the model has no Conv or Gemm layer with constant weights that activations are quantized for: nothing to "
            "calibrate; its weights alone can be quantized (`act_bits` none), and MatMul layers by `target` onnxq"
        )
    return found


def observation_graph(model: onnx.ModelProto, points: Points) -> tuple[gs.Graph, list[QuantPoint], list[str]]:
    """The model with observers, the points that it observes, and the names of the observers' outputs.

    Raises:
        OnnxqError: it has no Conv or Gemm layer with constant weights.
    """
    graph = to_graph(model, shapes=points.needs_shapes)
    normalize(graph, for_integer_kernels=points.for_integer_kernels, keep_batch_norm=points.keeps_batch_norm)
    found = observed_points(points, graph)
    # Of the model's own outputs nothing is needed; dropping them spares the last layers.
    graph.outputs.clear()
    outputs = insert_observers(graph, _tensors(found))
    return graph, found, [name for names in outputs for name in names]


def _tensors(points: Sequence[QuantPoint]) -> list[str]:
    """What to observe for these points, each tensor once, in order."""
    return list(dict.fromkeys(point.observed for point in points))


def calibrate(
    model: onnx.ModelProto | str | Path,
    batches: Batches,
    *,
    provider: str = "auto",
    native: bool | None = None,
    points: str | Points = "inputs",
    preprocessing: Mapping[str, str] | None = None,
    moving_percentile: float | None = None,
    batch_averages: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Statistics:
    """Observe a model's activations.

    Memory does not grow with the number of images.

    Args:
        model: a float model, or its path.
        batches: preprocessed images, float32 [N, C, H, W], or where a model has several inputs, arrays by name; for
            example from an ``onnxq.Loader``.
        provider: 'auto', 'cpu' or 'cuda'.
        native: see ``onnxq.session_options``.
        points: where quantizers will be (``Recipe.points``), by name or as an object.
        preprocessing: of the images, as metadata (``Preprocessing.to_metadata``); the statistics remember it.
        moving_percentile: also keep the moving average over batches of this percentile of ``|x|``, each new batch
            counting for a tenth (for the clipping rule ``moving-percentile``).
        batch_averages: also keep means over batches of extremes and moments (for activations ``over`` batches).
        progress: called after each batch with the number of its images.

    Raises:
        OnnxqError: the model cannot be used, there are no images, or an activation is NaN or infinite.
    """
    if moving_percentile is not None and (
        number("moving_percentile", moving_percentile) or not 50 < moving_percentile <= 100
    ):
        raise OnnxqError("`moving_percentile` must be a number above 50 and at most 100")
    check_callable("progress", progress)
    source = as_model(model)
    check_loads(source)
    check_type("batches", batches, Iterable)
    chosen = POINTS.parse(points)
    with understanding():
        graph, found, outputs = observation_graph(source, chosen)
        averaged = list(dict.fromkeys([*_tensors(found), *(point.tensor for point in found)]))
        sorted_ = insert_order_statistics(graph, averaged, moving_percentile) if moving_percentile is not None else []
    names = _tensors(found)
    session = graph_session(graph, source, provider, native=native)
    width = len(observe.OUTPUTS)
    images, largest = 0, 0
    tensors: dict[str, TensorStatistics] = {}
    moving: dict[str, NDArray[np.float64]] = {}
    averages: BatchAverages | None = None
    for batch, values in outputs_of(session, [*outputs, *sorted_], batches, progress):
        current = {
            name: TensorStatistics.of(Observation(*values[position * width : (position + 1) * width]))
            for position, name in enumerate(names)
        }
        for name, seen in current.items():
            if np.isnan(seen.minimum).any():
                raise OnnxqError(f"tensor {name} has NaN or infinite values on images {batch[0]} to {batch[-1]}")
        for name, new in zip(averaged, values[len(outputs) :], strict=False):
            latest = new.astype(np.float64)
            if name in moving:
                known, latest = of_one_size(moving[name], latest)
                latest = (1 - MOMENTUM) * known + MOMENTUM * latest
            moving[name] = latest
        if batch_averages:
            new_averages = BatchAverages.of(_with_clamped(current, found))
            averages = averages.merge(new_averages) if averages is not None else new_averages
        for name, seen in current.items():
            tensors[name] = tensors[name].absorb(seen) if name in tensors else seen.copy()
        images, largest = images + len(batch), max(largest, len(batch))
    if images == 0:
        raise NoImagesError("no calibration images")
    origin = Origin(POINTS.name_of(chosen), largest, dict(preprocessing or {}))
    whole = _with_clamped(tensors, found)
    return Statistics(fingerprint(source), images, whole, moving, moving_percentile, origin, averages)


def _with_clamped(tensors: dict[str, TensorStatistics], points: Iterable[QuantPoint]) -> dict[str, TensorStatistics]:
    """With the statistics of tensors behind a ReLU or Clip, which those before it tell."""
    behind = {
        point.tensor: tensors[point.pre_activation].clamped(point.upper)
        for point in points
        if point.pre_activation is not None
    }
    return {**tensors, **behind}
