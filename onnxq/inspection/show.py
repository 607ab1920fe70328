"""Every quantized tensor of a file: format, bits, range, what it takes. Called by the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.core.operator_call import DOMAIN
from onnxq.core.statistics import Statistics
from onnxq.graph.model_files import load_model
from onnxq.inspection.constants import constant_values
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.inspection.shown import Range, ShownTensor
from onnxq.operators import fixed_point_conv, operator_module
from onnxq.operators.grid import Grid

FIRST = 4  # values shown
SCALE_INPUT = {"DequantizePacked": 2, "DequantizeCodebook": 3, "DequantizeLinear": 1}
STORED_BITS = {"INT2": 2, "UINT2": 2, "INT4": 4, "UINT4": 4, "INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16}
CLAMPS = ("Clip", "Min", "Max")


def show(path: str | Path, statistics: Statistics | None = None) -> list[ShownTensor]:
    """Look at any quantized ONNX file, of onnxq or in standard QuantizeLinear and DequantizeLinear.

    Args:
        statistics: of the float model, by which thresholds of activations are told in standard deviations.

    Returns:
        activations in the order of the graph, then weights; empty for a float file.

    Raises:
        OnnxqError: there is no such file, or ONNX Runtime cannot load it.
    """
    model = load_model(path)
    graph = QuantizedGraph(model)
    return [*_activations(graph, statistics), *_weights(model, graph)]


def _activations(graph: QuantizedGraph, statistics: Statistics | None) -> Iterator[ShownTensor]:
    for node in graph.graph.node:
        is_ours = node.domain == DOMAIN and hasattr(operator_module(node.op_type), "grid")
        if is_ours:
            parameters = [graph.constants.get(name) for name in node.input[1:] if name]
            known = [numpy_helper.to_array(value) for value in parameters if value is not None]
            if len(known) == len(parameters) or node.op_type == fixed_point_conv.NAME:
                attributes = {attribute.name: attribute.i for attribute in node.attribute}
                grid: Grid | None = operator_module(node.op_type).grid(known, attributes)
            else:
                grid = None
        elif node.op_type == "QuantizeLinear" and not graph.is_constant(node.input[0]):
            grid = _standard_grid(graph, node)
        else:
            continue
        name = (
            node.output[0].removesuffix("/quantized")
            if node.op_type == fixed_point_conv.NAME
            else _subject(graph, node)
        )
        name = name.removesuffix("/exact")  # an output of the network that is quantized gives its name away
        form = node.op_type if is_ours else graph.type_of(node)
        yield _shown_activation(name, _reader(graph, node), form, grid, statistics)


def _shown_activation(
    name: str, layer: str, form: str, grid: Grid | None, statistics: Statistics | None
) -> ShownTensor:
    if grid is None:
        return ShownTensor(name, "activation", layer, f"{form}, range of each batch", {}, None, None, None)
    reach = np.maximum(np.abs(grid.lower), np.abs(grid.upper))
    widths = dict(Counter(np.broadcast_to(grid.bits, reach.shape).astype(int).ravel().tolist()))
    range_ = (float(grid.lower.min()) + 0.0, float(grid.upper.max()))
    deviations = None
    if statistics is not None and name in statistics.tensors:
        deviations = _range(reach / max(float(statistics.tensors[name].whole().std[0]), 1e-30))
    return ShownTensor(name, "activation", layer, form, widths, _range(grid.scale), range_, _range(reach), deviations)


def _standard_grid(graph: QuantizedGraph, node: onnx.NodeProto) -> Grid | None:
    """Of a QuantizeLinear, with the clamps that make its codes narrower than their type."""
    step, zero_point = (graph.values_of(node, place) for place in (1, 2))
    if step is None:
        return None
    scale = step.astype(np.float64).ravel()
    width = STORED_BITS.get(graph.type_of(node), 8)
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if graph.type_of(node)[0] == "I" else (0, 2**width - 1)
    zero = zero_point.astype(np.float64).ravel() if zero_point is not None else np.zeros(1)
    lower, upper = (low - zero) * scale, (high - zero) * scale
    maker = graph.makers.get(node.input[0])
    while maker is not None and maker.op_type in CLAMPS:
        for bound, is_lower in _bounds(graph, maker):
            lower, upper = (np.maximum(lower, bound), upper) if is_lower else (lower, np.minimum(upper, bound))
        maker = graph.makers.get(maker.input[0])
    for reader in graph.readers.get(node.output[0], []):
        for bound, is_lower in _bounds(graph, reader):
            value = (bound.astype(np.float64) - zero) * scale
            lower, upper = (np.maximum(lower, value), upper) if is_lower else (lower, np.minimum(upper, value))
    bits = np.ceil(np.log2(np.rint((upper - lower) / scale) + 1))
    return Grid(scale, np.atleast_1d(lower), np.atleast_1d(upper), np.atleast_1d(bits))


def _bounds(graph: QuantizedGraph, node: onnx.NodeProto) -> Iterator[tuple[NDArray[Any], bool]]:
    """The constant bounds of a clamp, and whether each is a lower one."""
    if node.op_type not in CLAMPS:
        return
    for place, name in enumerate(node.input[1:]):
        if name in graph.constants:
            is_lower = node.op_type == "Max" or (node.op_type == "Clip" and place == 0)
            yield numpy_helper.to_array(graph.constants[name]).ravel(), is_lower


def _subject(graph: QuantizedGraph, node: onnx.NodeProto) -> str:
    """The tensor that a quantizer is of, before the clamps that make its codes narrower."""
    name = node.input[0]
    while (maker := graph.makers.get(name)) is not None and maker.op_type in CLAMPS[1:]:
        name = maker.input[0]
    return name


def _reader(graph: QuantizedGraph, node: onnx.NodeProto) -> str:
    """The first layer behind a quantizer, as far as its own dequantizer and clamps go."""
    if node.op_type == fixed_point_conv.NAME:
        return node.name
    found = graph.readers.get(node.output[0], [])
    while found and found[0].op_type in ("DequantizeLinear", *CLAMPS):
        found = graph.readers.get(found[0].output[0], [])
    return found[0].name if found else ""


def _weights(model: onnx.ModelProto, graph: QuantizedGraph) -> Iterator[ShownTensor]:
    readers = {node.input[1]: node.name for node in reversed(graph.layers) if len(node.input) > 1}
    made = [name for name in reversed(readers) if graph.is_constant(name) and name not in graph.constants]
    coded = [name for name in made if (stored := graph.stored(name)) is not None and _is_codes(stored)]
    for name, values in zip(coded, constant_values(model, coded), strict=True):
        yield _shown_weight(graph, name, readers[name], values)


def _is_codes(stored: onnx.TensorProto) -> bool:
    """Whether a constant holds whole numbers: floats that the graph moves or casts are no codes."""
    return onnx.TensorProto.DataType.Name(stored.data_type).startswith(("INT", "UINT"))


def _shown_weight(graph: QuantizedGraph, name: str, layer: str, values: NDArray[np.float32]) -> ShownTensor:
    stored = graph.stored(name)
    maker = graph.makers[name]
    assert stored is not None  # such were chosen
    kind = onnx.TensorProto.DataType.Name(stored.data_type)
    rows = values.reshape(len(values), -1).astype(np.float64)
    unpacker = next((node for node in _makers(graph, name) if node.domain == DOMAIN), None)
    widths = np.array([STORED_BITS.get(kind, 8)])
    if unpacker is not None:
        widths = numpy_helper.to_array(graph.constants[unpacker.input[1]]).ravel()
    each = np.broadcast_to(widths, len(rows)).astype(int).tolist()
    scale = _scale_of(graph, maker)
    reach, deviation = np.abs(rows).max(axis=1), rows.std(axis=1)
    form = unpacker.op_type if unpacker is not None else kind
    return ShownTensor(
        name=name.removesuffix("/dequantized"),
        kind="weight",
        layer=layer,
        format=form,
        widths=dict(Counter(each)),
        scale=_range(np.abs(scale)) if scale is not None else None,
        range=(float(rows.min()), float(rows.max())),
        threshold=_range(reach),
        deviations=_range(reach[deviation > 0] / deviation[deviation > 0]) if (deviation > 0).any() else None,
        values=values.size,
        bytes=sum(_bytes_of(graph, node) for node in _makers(graph, name)),
        zeros=float((values == 0).mean()),
        first=tuple(float(value) for value in values.ravel()[:FIRST]),
    )


def _makers(graph: QuantizedGraph, name: str) -> Iterator[onnx.NodeProto]:
    """The nodes that make a weight, from the last one to its codes."""
    while (maker := graph.makers.get(name)) is not None and maker.input:
        yield maker
        name = maker.input[0]


def _bytes_of(graph: QuantizedGraph, node: onnx.NodeProto) -> int:
    """Of the constants that a node reads."""
    tensors = (graph.constants[name] for name in node.input if name in graph.constants)
    return sum(len(tensor.raw_data) or numpy_helper.to_array(tensor).nbytes for tensor in tensors)


def _scale_of(graph: QuantizedGraph, maker: onnx.NodeProto) -> NDArray[Any] | None:
    place = SCALE_INPUT.get(maker.op_type, 1)
    known = graph.constants.get(maker.input[place]) if len(maker.input) > place else None
    return numpy_helper.to_array(known) if known is not None else None


def _range(values: NDArray[Any] | Iterable[float]) -> Range:
    array = np.asarray(values, np.float64)
    return float(array.min()), float(array.max())
