"""Quantized weights, as a file has them. A part of ``inspection``, called by ``show``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.core.operator_call import DOMAIN
from onnxq.inspection.constants import constant_values
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.inspection.shown import MOST_LEVELS, STORED_BITS, ShownTensor, range_of

FIRST = 4  # values shown
SCALE_INPUT = {"DequantizePacked": 2, "DequantizeCodebook": 3, "DequantizeLinear": 1, "QuantizeLinear": 1, "Mul": 1}
IN_PLACE = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3, "ConvInteger": 1, "MatMulInteger": 1}
SCALED = ("QLinearConv", "QLinearMatMul", "QGemm")  # scale and zero point of the weight stand behind it
ZERO_POINT = 3  # input of ConvInteger and MatMulInteger
ON_THE_WAY = ("Cast", "Sub", "Add", "Mul", "Reshape", "Transpose", "DequantizeLinear", "QuantizeLinear")
CODES = (*STORED_BITS, "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1")
WIDE = ("INT16", "UINT16")  # they hold narrower codes, which no type tells


@dataclass(frozen=True)
class _Coded:
    """A layer's weight that is made of codes: its name, the layer, and the type of the codes."""

    name: str
    layer: onnx.NodeProto
    kind: str


def layers_in_float(graph: QuantizedGraph) -> Iterator[onnx.NodeProto]:
    """The layers with a constant weight that is not made of codes."""
    for layer in graph.layers:
        name = weight_name(graph, layer)
        if graph.is_constant(name) and _kind(graph, name) is None:
            yield layer


def shown_weights(model: onnx.ModelProto, graph: QuantizedGraph) -> Iterator[ShownTensor]:
    """Each weight once, in the order of the layers."""
    return (tensor for tensor, _ in weights_with_values(model, graph))


def weights_with_values(
    model: onnx.ModelProto, graph: QuantizedGraph
) -> Iterator[tuple[ShownTensor, NDArray[np.float64]]]:
    """And with their values, float64 [channels, values of each]."""
    found: dict[str, _Coded] = {}
    for layer in graph.layers:
        name = weight_name(graph, layer)
        kind = _kind(graph, name) if graph.is_constant(name) else None
        if kind is not None:
            found.setdefault(name, _Coded(name, layer, kind))
    for coded, values in zip(found.values(), constant_values(model, list(found)), strict=True):
        yield _shown(graph, coded, values)


def weight_name(graph: QuantizedGraph, layer: onnx.NodeProto) -> str:
    """The tensor that a layer has as its weight; '' where it has none."""
    place = IN_PLACE.get(layer.op_type, 1)
    if layer.op_type == "MatMul" and graph.is_constant(layer.input[0]) and not graph.is_constant(layer.input[1]):
        place = 0
    return layer.input[place] if len(layer.input) > place else ""


def _kind(graph: QuantizedGraph, name: str) -> str | None:
    """The type of the codes of a constant: whole numbers are such, or floats behind a QuantizeLinear."""
    makers = list(_makers(graph, name))
    if any(node.domain != DOMAIN and node.op_type not in ON_THE_WAY for node in makers):
        return None
    quantizer = next((node for node in makers if node.op_type == "QuantizeLinear"), None)
    if quantizer is not None:
        return graph.type_of(quantizer)
    stored = graph.constants.get(makers[-1].input[0] if makers else name)
    kind = onnx.TensorProto.DataType.Name(stored.data_type) if stored is not None else ""
    return kind if kind in CODES else None


def _shown(graph: QuantizedGraph, coded: _Coded, values: NDArray[Any]) -> tuple[ShownTensor, NDArray[np.float64]]:
    scale, zero_point = _scale_and_zero_point(graph, coded)
    axis = _channel_axis(coded, values.ndim)
    if coded.layer.op_type in IN_PLACE:  # codes themselves
        shape = [-1 if each == axis else 1 for each in range(values.ndim)]
        gain = np.ones(1) if scale is None else scale.astype(np.float64)
        fits = all(each.size in (1, values.shape[axis] if values.ndim else 1) for each in (gain, zero_point))
        if fits:
            values = (values.astype(np.float64) - zero_point.reshape(shape)) * gain.reshape(shape)
    rows = np.moveaxis(values, axis, 0).astype(np.float64) if values.ndim else values.reshape(1, 1).astype(np.float64)
    rows = rows.reshape(len(rows), -1) if rows.size else np.empty((len(rows), 0))
    unpacker = next((node for node in _makers(graph, coded.name) if node.domain == DOMAIN), None)
    if coded.kind in WIDE and scale is not None and scale.size in (1, len(rows)) and values.size:
        widths = np.array([_bits_taken(rows, scale)])
    elif unpacker is not None:
        widths = numpy_helper.to_array(graph.constants[unpacker.input[1]]).ravel()
    else:
        widths = np.array([STORED_BITS[coded.kind]] if coded.kind in STORED_BITS else [8])
    reach, deviation = np.abs(rows).max(axis=1, initial=0), rows.std(axis=1) if rows.size else np.zeros(len(rows))
    levels = np.unique(rows[np.argsort(reach)[len(reach) // 2]]) if rows.size else np.empty(0)
    shown = ShownTensor(
        name=coded.name.removesuffix("/dequantized"),
        kind="weight",
        layer=coded.layer.name,
        format=unpacker.op_type if unpacker is not None else coded.kind,
        widths=dict(Counter(np.broadcast_to(widths, len(rows)).astype(int).tolist())),
        scale=range_of(np.abs(scale)) if scale is not None else None,
        range=range_of(rows),
        threshold=range_of(reach),
        deviations=range_of(reach[deviation > 0] / deviation[deviation > 0]),
        values=values.size,
        bytes=_bytes(graph, coded),
        zeros=float((values == 0).mean()) if values.size else 0.0,
        first=tuple(float(value) for value in values.ravel()[:FIRST]),
        levels=tuple(levels.tolist()) if len(levels) <= MOST_LEVELS else (),
    )
    return shown, rows


def _bits_taken(rows: NDArray[np.float64], scale: NDArray[Any]) -> int:
    """Of two's complement that holds the codes: of fixed point in 16 bits, which no type and no input tells."""
    codes = np.nan_to_num(np.rint(rows / np.where(scale > 0, scale, 1).reshape(-1, 1)))
    return int(np.ceil(np.log2(max(float(codes.max()) + 1, -float(codes.min()), 1)))) + 1


def _channel_axis(coded: _Coded, rank: int) -> int:
    """Where the output channels of a weight are."""
    layer = coded.layer
    if rank < 2:
        return 0
    if layer.op_type in ("Gemm", "QGemm"):
        return 0 if any(each.name == "transB" and each.i for each in layer.attribute) else rank - 1
    if "MatMul" in layer.op_type:
        return rank - 1 if layer.input[0] != coded.name else rank - 2
    return 1 if layer.op_type == "ConvTranspose" else 0


def _scale_and_zero_point(graph: QuantizedGraph, coded: _Coded) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Of the node that makes values of codes, which can be the layer; None where it is not constant."""
    if coded.layer.op_type in SCALED:
        names = list(coded.layer.input[IN_PLACE[coded.layer.op_type] + 1 :][:2])
    elif coded.layer.op_type in IN_PLACE:
        names = list(coded.layer.input[ZERO_POINT:])
        known = [numpy_helper.to_array(graph.constants[name]) for name in names if name in graph.constants]
        return None, known[0].astype(np.float64) if known else np.zeros(1)
    else:
        maker = next((node for node in _makers(graph, coded.name) if node.op_type in SCALE_INPUT), None)
        place = SCALE_INPUT[maker.op_type] if maker is not None else 0
        names = list(maker.input[place : place + 2]) if maker is not None else []
        if maker is not None and maker.op_type == "Mul":
            names = [name for name in maker.input if name in graph.constants]
    known = [numpy_helper.to_array(graph.constants[name]) for name in names if name in graph.constants]
    return (known[0] if known else None), (known[1].astype(np.float64) if len(known) > 1 else np.zeros(1))


def _makers(graph: QuantizedGraph, name: str) -> Iterator[onnx.NodeProto]:
    """The nodes that make a constant, from the last one to its codes."""
    while (maker := graph.makers.get(name)) is not None and maker.input:
        yield maker
        name = next((each for each in maker.input if each in graph.makers), maker.input[0])


def _bytes(graph: QuantizedGraph, coded: _Coded) -> int:
    """Of the constants that a weight is made of."""
    names = {name for node in _makers(graph, coded.name) for name in node.input}
    if coded.layer.op_type in IN_PLACE:
        place = IN_PLACE[coded.layer.op_type]
        names.update(coded.layer.input[place : place + (3 if coded.layer.op_type in SCALED else 1)])
    tensors = (graph.constants[name] for name in names if name in graph.constants)
    return sum(len(tensor.raw_data) or numpy_helper.to_array(tensor).nbytes for tensor in tensors)
