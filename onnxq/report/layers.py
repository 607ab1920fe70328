"""A row for each layer: what a file has, joined with what was measured. A part of ``report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.comparison.compared import ComparedTensor
from onnxq.comparison.sites import opset_of
from onnxq.core.feeds import Batch
from onnxq.core.layers import Layer
from onnxq.core.network import Network
from onnxq.core.statistics import Statistics
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.normalize import normalize
from onnxq.graph.understanding import understanding
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.inspection.shown import ShownTensor
from onnxq.inspection.shown_activations import shown_activations
from onnxq.inspection.shown_weights import weights_with_values
from onnxq.report.facts import ReportedLayer, Seen
from onnxq.report.histograms import of_statistics, of_values
from onnxq.runtime.batches import arrays_of

Values = NDArray[np.float64]
IN_FLOAT = "float: its weight is not quantized"
MOST_LEVELS = 64  # that are drawn; more are a bar


def float_network(
    reference: onnx.ModelProto, quantized: onnx.ModelProto, batch: Batch
) -> tuple[Network, dict[str, int]]:
    """The float network in the words of the quantized one, and the products of each layer for an image.

    Args:
        batch: of images, for shapes of tensors. Layers of unknown shapes have no products.
    """
    with understanding():
        graph = to_graph(reference, opset_of(quantized))
        normalize(graph, for_integer_kernels=any(node.op_type == "QuantizeLinear" for node in quantized.graph.node))
        network = network_of(graph)
    fixed = to_model(graph, reference)
    arrays = arrays_of(batch, list(network.inputs))
    for entry in fixed.graph.input:
        if entry.name in arrays:
            sizes = (onnx.TensorShapeProto.Dimension(dim_value=size) for size in arrays[entry.name].shape)
            entry.type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=sizes))
    for entry in fixed.graph.output:  # of symbolic sizes
        entry.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(fixed).graph
    shapes = {
        entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
        for entry in (*inferred.value_info, *inferred.output)
    }
    products = {}
    for layer in network.layers:
        made = shapes.get(layer.output, [])
        if made and all(made):
            products[layer.name] = int(layer.weight.size * prod(made) / (layer.channels * len(batch)))
    return network, products


def reported_layers(
    network: Network,
    products: Mapping[str, int],
    quantized: onnx.ModelProto,
    compared: Sequence[ComparedTensor],
    statistics: Statistics | None,
    in_float: Mapping[str, str] | None,
) -> tuple[ReportedLayer, ...]:
    """In order of execution.

    Args:
        in_float: names of layers that a runtime computes in float, with why; None where it does so with all.
    """
    graph = QuantizedGraph(quantized)
    weights = {shown.layer: (shown, values) for shown, values in weights_with_values(quantized, graph)}
    by_name = {shown.name: (shown, values) for shown, values in weights.values()}
    reads = list(shown_activations(graph, statistics))
    reads_of = {tensor.layer: tensor for tensor in reads} | {tensor.name: tensor for tensor in reads}
    whole = sum(shown.bytes or 0 for shown, _ in by_name.values())
    work = sum(products.values())
    measured = {each.layer: each for each in compared}
    rows = []
    for layer in network.layers:
        own = weights.get(layer.name) or by_name.get(layer.weight_name)
        read = reads_of.get(layer.input) or reads_of.get(layer.name)
        tensor = measured.get(layer.name)
        rows.append(
            ReportedLayer(
                name=layer.name,
                op=layer.op,
                computes=_computes(layer, own is not None, in_float),
                widths=own[0].widths if own is not None else {},
                read_bits=read.bits if read is not None else None,
                alone=tensor.alone if tensor is not None else None,
                accumulated=tensor.accumulated if tensor is not None else None,
                reason=tensor.reason if tensor is not None else "",
                size=(own[0].bytes or 0) / whole if own is not None and whole else 0.0,
                work=products[layer.name] / work if layer.name in products and work else None,
                weight=_seen_weight(layer.weight, own),
                read=_seen_read(layer.input, read, statistics),
            )
        )
    return tuple(rows)


def _computes(layer: Layer, is_quantized: bool, in_float: Mapping[str, str] | None) -> str:
    if not is_quantized:
        return IN_FLOAT + (": it makes numbers of a Softmax (`guard`)" if layer.decodes else "")
    if in_float is None:
        return ""
    return f"float: {in_float[layer.name]}" if layer.name in in_float else "integers"


def _seen_weight(exact: NDArray[np.float32], own: tuple[ShownTensor, Values] | None) -> Seen:
    low, high = float(exact.min(initial=0)), float(exact.max(initial=0))
    if own is None:
        return Seen(of_values(exact, low, high))
    shown, values = own
    if shown.range is not None:
        low, high = min(low, shown.range[0]), max(high, shown.range[1])
    return Seen(of_values(exact, low, high), of_values(values, low, high), shown.range, _few(shown.levels))


def _seen_read(name: str, read: ShownTensor | None, statistics: Statistics | None) -> Seen:
    names = (name, read.name) if read is not None else (name,)
    known = (
        next((statistics.tensors[each] for each in names if each in statistics.tensors), None) if statistics else None
    )
    exact = of_statistics(known) if known is not None else None
    return Seen(exact, None, read.range, _few(read.levels)) if read is not None else Seen(exact)


def _few(levels: tuple[float, ...]) -> tuple[float, ...]:
    return levels if len(levels) <= MOST_LEVELS else ()
