"""A row for each layer of a quantized file: what it has, joined with what was measured. A part of ``report``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.comparison.compared import ComparedTensor
from onnxq.core.statistics import Statistics
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.inspection.shown import ShownTensor
from onnxq.inspection.shown_activations import shown_activations
from onnxq.inspection.shown_weights import weight_name, weights_with_values
from onnxq.report.facts import ReportedLayer, Seen
from onnxq.report.float_layers import FloatLayer
from onnxq.report.histograms import of_statistics, of_values

Values = NDArray[np.float64]
IN_FLOAT = "float: its weight is not quantized"
MOST_LEVELS = 64  # that are drawn; more are a bar
MOST_STEPS = 5  # nodes behind an integer layer until there is a tensor of the float network: scales, biases, casts


def reported_layers(
    exact: Sequence[FloatLayer],
    quantized: onnx.ModelProto,
    file_bytes: int,
    compared: Sequence[ComparedTensor],
    statistics: Statistics | None,
    in_float: Mapping[str, str] | None,
) -> tuple[ReportedLayer, ...]:
    """In order of execution.

    Args:
        in_float: names of layers that a runtime computes in float, with why; None where it does so with all.
    """
    graph = QuantizedGraph(quantized)
    weights = {shown.name: (shown, values) for shown, values in weights_with_values(quantized, graph)}
    reads = list(shown_activations(graph, statistics))
    reads_of = {tensor.layer: tensor for tensor in reads} | {tensor.name: tensor for tensor in reads}
    layers = [node for node in graph.layers if graph.is_constant(weight_name(graph, node))]
    users = Counter(weight_name(graph, node) for node in layers)
    by_name = {layer.node.name: layer for layer in exact if layer.node.name}
    by_output = {name: layer for layer in exact for name in layer.outputs}
    work = sum(layer.products for layer in exact)
    measured = {each.layer: each for each in compared}
    rows = []
    for node in layers:
        name = weight_name(graph, node)
        own = weights.get(name.removesuffix("/dequantized"))
        twin = by_name.get(node.name) or _behind(graph, node, by_output)
        tensor = measured.get(twin.node.name if twin is not None else node.name)
        read = reads_of.get(twin.input if twin is not None else "") or reads_of.get(node.name)
        rows.append(
            ReportedLayer(
                name=node.name or node.output[0],
                op=node.op_type,
                computes=_computes(node.name, own is not None, in_float),
                widths=own[0].widths if own is not None else {},
                read_bits=read.bits if read is not None else None,
                alone=tensor.alone if tensor is not None else None,
                accumulated=tensor.accumulated if tensor is not None else None,
                reason=tensor.reason if tensor is not None else "",
                values=_count(graph, own, name) / users[name],
                size=_bytes(graph, own, name) / users[name] / max(file_bytes, 1),
                work=twin.products / work if twin is not None and work else None,
                weight=_seen_weight(twin.weight if twin is not None else None, own),
                read=_seen_read(twin.input if twin is not None else "", read, statistics),
            )
        )
    return tuple(rows)


def _behind(graph: QuantizedGraph, node: onnx.NodeProto, by_output: Mapping[str, FloatLayer]) -> FloatLayer | None:
    """The layer of the float network whose output a node makes, together with the nodes that read its sums."""
    name = node.output[0]
    for _ in range(MOST_STEPS):
        for known in (name, name.removesuffix("_quantized")):
            if known in by_output:
                return by_output[known]
        readers = graph.readers.get(name, [])
        if len(readers) != 1 or readers[0] in graph.layers:
            return None
        name = readers[0].output[0]
    return None


def _count(graph: QuantizedGraph, own: tuple[ShownTensor, Values] | None, name: str) -> int:
    if own is not None:
        return own[0].values or 0
    return int(numpy_helper.to_array(graph.constants[name]).size) if name in graph.constants else 0


def _bytes(graph: QuantizedGraph, own: tuple[ShownTensor, Values] | None, name: str) -> int:
    if own is not None:
        return own[0].bytes or 0
    return int(numpy_helper.to_array(graph.constants[name]).nbytes) if name in graph.constants else 0


def _computes(name: str, is_quantized: bool, in_float: Mapping[str, str] | None) -> str:
    if not is_quantized:
        return IN_FLOAT
    if in_float is None:
        return ""
    return f"float: {in_float[name]}" if name in in_float else "integers"


def _seen_weight(exact: NDArray[np.float32] | None, own: tuple[ShownTensor, Values] | None) -> Seen:
    ends = [float(end) for end in (exact.min(), exact.max())] if exact is not None and exact.size else []
    if own is None:
        return Seen(of_values(exact, *ends)) if exact is not None and ends else Seen()
    shown, values = own
    ends += list(shown.range or ())
    low, high = (min(ends), max(ends)) if ends else (0.0, 0.0)
    float_bars = of_values(exact, low, high) if exact is not None else None
    return Seen(float_bars, of_values(values, low, high), shown.range, _few(shown.levels))


def _seen_read(name: str, read: ShownTensor | None, statistics: Statistics | None) -> Seen:
    names = (name, read.name) if read is not None else (name,)
    seen = statistics.tensors if statistics is not None else {}
    known = next((seen[each] for each in names if each in seen), None)
    exact = of_statistics(known) if known is not None else None
    return Seen(exact, None, read.range, _few(read.levels)) if read is not None else Seen(exact)


def _few(levels: tuple[float, ...]) -> tuple[float, ...]:
    return levels if len(levels) <= MOST_LEVELS else ()
