"""Every quantized tensor of a file: format, bits, range, what it takes. Called by the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from onnxq.core.metadata_keys import SOURCE
from onnxq.core.statistics import Statistics
from onnxq.graph.model_files import load_model, metadata
from onnxq.inspection.quantized_graph import INTEGER_LAYERS, LAYERS, QuantizedGraph, held_graphs
from onnxq.inspection.shown import Shown
from onnxq.inspection.shown_activations import shown_activations
from onnxq.inspection.shown_weights import layers_in_float, shown_weights


def show(path: str | Path, statistics: Statistics | None = None) -> Shown:
    """Look at any quantized ONNX file, of onnxq, in standard QuantizeLinear and DequantizeLinear or in operator form.

    Args:
        statistics: of the float model, by which thresholds of activations are told in standard deviations.

    Returns:
        activations in the order of the graph, then weights; none for a float file.

    Raises:
        OnnxqError: there is no such file, ONNX Runtime cannot load it, or the statistics are of another network.
    """
    model = load_model(path)
    source = metadata(model).get(SOURCE)
    if statistics is not None and source is not None:
        statistics.check_belongs(source)
    graph = QuantizedGraph(model)
    notes = []
    if left := len(list(layers_in_float(graph))):
        notes.append(f"{left} of {len(graph.layers)} layers have float weights")
    if inside := sum(1 for node in _inside(model.graph) if node.op_type in (*LAYERS, *INTEGER_LAYERS)):
        notes.append(f"{inside} layers inside If, Loop or Scan were not looked at")
    return Shown((*shown_activations(graph, statistics), *shown_weights(model, graph)), tuple(notes))


def _inside(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graphs that nodes hold."""
    for node in graph.node:
        for held in held_graphs(node):
            yield from held.node
            yield from _inside(held)
