"""Quantizers of activations, as a file has them. A part of ``inspection``, called by ``show``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.core.operator_call import DOMAIN
from onnxq.core.statistics import Statistics
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.inspection.shown import MOST_LEVELS, STORED_BITS, ShownTensor, range_of
from onnxq.operators import fixed_point_conv, operator_module
from onnxq.operators.grid import Grid

CLAMPS = ("Clip", "Min", "Max")
NO_SHIFT = np.zeros(1)


def shown_activations(graph: QuantizedGraph, statistics: Statistics | None) -> Iterator[ShownTensor]:
    """In the order of the graph."""
    for node in graph.graph.node:
        if node.domain == DOMAIN and hasattr(operator_module(node.op_type), "grid"):
            yield _of_ours(graph, node, statistics)
        elif node.op_type == "QuantizeLinear" and not graph.is_constant(node.input[0]):
            step, kind = graph.values_of(node, 1), graph.type_of(node)
            grid = _standard_grid(graph, node, step.ravel()) if step is not None and kind in STORED_BITS else None
            form = kind if step is not None else f"{kind}, range of each batch"
            yield _shown(_subject(graph, node), _reader(graph, node.output[0]), form, grid, statistics)


def _of_ours(graph: QuantizedGraph, node: onnx.NodeProto, statistics: Statistics | None) -> ShownTensor:
    parameters = [graph.constants.get(name) for name in node.input[1:] if name]
    known = [numpy_helper.to_array(value) for value in parameters if value is not None]
    is_layer = node.op_type == fixed_point_conv.NAME
    if len(known) < len(parameters) and not is_layer:
        return _shown(
            _subject(graph, node), _reader(graph, node.output[0]), f"{node.op_type}, range of each batch", None, None
        )
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    grid = operator_module(node.op_type).grid(known, attributes)
    made, shift = _shifted(graph, node.output[0])
    lower, upper = grid.lower, np.where(grid.upper > 0, grid.upper + shift, grid.upper)
    moved = replace(grid, lower=lower, upper=upper)
    name = node.output[0].removesuffix("/quantized") if is_layer else _subject(graph, node)
    return _shown(name, node.name if is_layer else _reader(graph, made), node.op_type, moved, statistics, shift)


def _shifted(graph: QuantizedGraph, made: str) -> tuple[str, NDArray[Any]]:
    """What a quantizer's output becomes where values above zero are moved (``formats.shifted``), and by how much."""
    name = made
    for op in ("Relu", "Sign", "Mul", "Add"):
        reader = next((node for node in graph.readers.get(name, []) if node.op_type == op), None)
        if reader is None:
            return made, NO_SHIFT
        if op == "Mul":
            constants = [graph.constants[each] for each in reader.input if each in graph.constants]
            if not constants:
                return made, NO_SHIFT
            shift = numpy_helper.to_array(constants[0]).ravel()
        name = reader.output[0]
    return name, shift


def _shown(
    name: str,
    layer: str,
    form: str,
    grid: Grid | None,
    statistics: Statistics | None,
    shift: NDArray[Any] = NO_SHIFT,
) -> ShownTensor:
    name = name.removesuffix("/exact")  # an output of the network that is quantized gives its name away
    if grid is None:
        return ShownTensor(name, "activation", layer, form, {}, None, None, None)
    reach = np.maximum(np.abs(grid.lower), np.abs(grid.upper))
    widths = dict(Counter(np.broadcast_to(grid.bits, reach.shape).astype(int).ravel().tolist()))
    range_ = (float(grid.lower.min()) + 0.0, float(grid.upper.max()))
    deviations = None
    if statistics is not None and name in statistics.tensors:
        deviations = range_of(reach / max(float(statistics.tensors[name].whole().std[0]), 1e-30))
    return ShownTensor(
        name=name,
        kind="activation",
        layer=layer,
        format=form,
        widths=widths,
        scale=range_of(grid.scale),
        range=range_,
        threshold=range_of(reach),
        deviations=deviations,
        levels=_levels(grid, reach, shift),
    )


def _levels(grid: Grid, reach: NDArray[Any], shift: NDArray[Any]) -> tuple[float, ...]:
    """Of the middle channel by threshold; those above zero are moved by ``shift``."""
    channel = int(np.argsort(reach.ravel())[reach.size // 2])
    scale, lower, upper, bits, moved = (
        float(np.broadcast_to(each, reach.shape).ravel()[channel])
        for each in (grid.scale, grid.lower, grid.upper, grid.bits, shift if shift.size == reach.size else shift[:1])
    )
    if grid.levels is not None:
        values: NDArray[Any] = grid.levels.astype(np.float64) * scale
    elif bits <= np.log2(MOST_LEVELS) and scale > 0:
        first, last = lower / scale, (upper - moved if upper > 0 else upper) / scale
        if grid.whole_inside:
            steps = np.clip(np.arange(np.floor(first), np.ceil(last) + 1), first, last)
        else:
            steps = first + np.arange(min(round(last - first) + 1, MOST_LEVELS))
        values = scale * steps
    else:
        return ()
    return tuple(np.where(values > scale / 4, values + moved, values).tolist())


def _standard_grid(graph: QuantizedGraph, node: onnx.NodeProto, step: NDArray[Any]) -> Grid:
    """Of a QuantizeLinear to whole numbers, with the clamps that make its codes narrower than their type."""
    zero_point = graph.values_of(node, 2)
    scale, kind = step.astype(np.float64), graph.type_of(node)
    width = STORED_BITS[kind]
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if kind[0] == "I" else (0, 2**width - 1)
    zero = zero_point.astype(np.float64).ravel() if zero_point is not None else np.zeros(1)
    lower, upper = (low - zero) * scale, (high - zero) * scale
    for clamp in _clamps(graph, node.input[0]):
        for bound, is_lower in _bounds(graph, clamp):
            lower, upper = (np.maximum(lower, bound), upper) if is_lower else (lower, np.minimum(upper, bound))
    readers = graph.readers.get(node.output[0], [])
    if len(readers) == 1 and _clamped(graph, readers[0]) is not None:
        for bound, is_lower in _bounds(graph, readers[0]):
            value = (bound.astype(np.float64) - zero) * scale
            lower, upper = (np.maximum(lower, value), upper) if is_lower else (lower, np.minimum(upper, value))
    upper = np.maximum(lower, upper)
    steps = np.rint((upper - lower) / np.where(scale > 0, scale, 1))
    return Grid(scale, np.atleast_1d(lower), np.atleast_1d(upper), np.atleast_1d(np.ceil(np.log2(steps + 1))))


def _clamped(graph: QuantizedGraph, node: onnx.NodeProto | None) -> str | None:
    """What a node clamps between constants; None where it does something else."""
    if node is None or node.op_type not in CLAMPS:
        return None
    others = [name for name in node.input if name and name not in graph.constants]
    return others[0] if len(others) == 1 else None


def _clamps(graph: QuantizedGraph, name: str) -> Iterator[onnx.NodeProto]:
    """The clamps that made a tensor, from the last one."""
    while (before := _clamped(graph, maker := graph.makers.get(name))) is not None:
        assert maker is not None  # it clamps something
        yield maker
        name = before


def _bounds(graph: QuantizedGraph, clamp: onnx.NodeProto) -> Iterator[tuple[NDArray[Any], bool]]:
    """The constant bounds of a clamp, and whether each is a lower one."""
    for place, name in enumerate(clamp.input):
        if name in graph.constants:
            is_lower = clamp.op_type == "Max" or (clamp.op_type == "Clip" and place == 1)
            yield numpy_helper.to_array(graph.constants[name]).ravel(), is_lower


def _subject(graph: QuantizedGraph, node: onnx.NodeProto) -> str:
    """The tensor that a quantizer is of, before the clamps that make its codes narrower."""
    name = node.input[0]
    for clamp in _clamps(graph, name):
        before = _clamped(graph, clamp)
        if clamp.op_type not in CLAMPS[1:] or before is None:
            break
        name = before
    return name


def _reader(graph: QuantizedGraph, made: str) -> str:
    """The first layer behind a quantizer, as far as its own dequantizer and clamps go."""
    found = graph.readers.get(made, [])
    while found and found[0].op_type in ("DequantizeLinear", *CLAMPS):
        found = graph.readers.get(found[0].output[0], [])
    return found[0].name if found else ""
