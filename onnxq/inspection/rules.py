"""What a target's kernels want of a layer, held against a file. A part of ``inspection``, called by ``check``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from onnxq.inspection.quantized_graph import INTEGER_LAYERS, LAYERS, QuantizedGraph
from onnxq.operators import unpack_signed
from onnxq.recipe.targets.base import IntegerTarget

INT8 = "INT8"
LARGEST_EXACT = 64  # 255 * 64 * 2, the sum of a pair of products, is within 16 bits


def layer_problem(layer: onnx.NodeProto, graph: QuantizedGraph, target: IntegerTarget) -> str:
    """Why a layer cannot compute with integers, as far as the file tells; empty if it can."""
    if layer.op_type in INTEGER_LAYERS:
        return ""
    if graph.is_constant(layer.input[0]):
        return "its first operand is a constant"
    quantizer = graph.dequantizer(layer.input[0])
    if quantizer is None:
        return f"its input is not quantized: {_origin(layer.input[0], graph)}"
    if (kind := graph.type_of(quantizer)) not in target.activation_types:
        return f"its input is {kind}, not {' or '.join(target.activation_types)}"
    scale = graph.values_of(quantizer, 1)
    if target.only_per_tensor and scale is not None and scale.size > 1:
        return "its input has a scale for each channel, not one"
    quantizer = graph.dequantizer(layer.input[1])
    if quantizer is None:
        return "its weight is not quantized" if graph.is_constant(layer.input[1]) else "its weight is computed"
    codes, kind = quantizer.input[0], graph.type_of(quantizer)
    if kind != INT8:
        return f"its weight is {kind}" + (
            f": cast to INT8 before it is dequantized it would do ({codes})" if target.expands_weights else ""
        )
    if layer.op_type in target.quantized_outputs:
        return _output_problem(layer, graph, target.activation_types)
    return ""


def _origin(name: str, graph: QuantizedGraph) -> str:
    maker = graph.makers.get(name)
    return f"{maker.op_type} {maker.name} makes it" if maker is not None else "it is an input of the network"


def _output_problem(layer: onnx.NodeProto, graph: QuantizedGraph, wanted: tuple[str, ...]) -> str:
    made = layer.output[0]
    if made in graph.outputs:
        return "its output is one of the network, and not quantized"
    quantizers = graph.quantizers(made)
    if not quantizers:
        readers = ", ".join(dict.fromkeys(node.op_type for node in graph.readers.get(made, [])))
        return f"its output is not quantized: {readers or 'nothing'} reads it"
    kinds = sorted({graph.type_of(each) for each in quantizers} - set(wanted))
    return f"its output is {kinds[0]}, not {' or '.join(wanted)}" if kinds else ""


def problems_of(graph: QuantizedGraph, target: IntegerTarget) -> Iterator[str]:
    """What is wrong with quantizers, a sentence each."""
    activations = list(graph.activation_quantizers())
    if target.centred_activations:
        shifted = [node for node in activations if _is_shifted(node, graph)]
        if shifted:
            yield f"{len(shifted)} of {len(activations)} activations have a zero point other than 0"
    weights = [
        layer.input[1] for layer in graph.layers if layer.op_type in LAYERS and graph.is_constant(layer.input[1])
    ]
    dequantizers = [found for name in weights if (found := graph.dequantizer(name)) is not None]
    if target.centred_weights and (shifted := [node for node in dequantizers if _is_shifted(node, graph)]):
        yield f"{len(shifted)} of {len(dequantizers)} weights have a zero point other than 0"
    for node in (*activations, *dequantizers):
        scale = graph.values_of(node, 1)
        if scale is not None and not (np.isfinite(scale) & (np.asarray(scale) > 0)).all():
            yield f"{node.name}: its scale is not above zero"
    if target.fixed_shapes and (free := [entry.name for entry in graph.graph.input if _has_free_size(entry)]):
        yield f"{', '.join(free)}: its shape has free sizes; this runtime wants numbers"
    wide = sum(_can_saturate(node, graph) for node in dequantizers)
    if wide and target.widest_exact_weights < 8:
        yield (
            f"{wide} of {len(dequantizers)} weights have codes beyond 7 bits: on x86 processors without VNNI sums of "
            "products saturate (`onnxq quantize --weight-bits 7`)"
        )
    inside = [node.name for node in graph.graph.node if any(each.HasField("g") for each in node.attribute)]
    if inside:
        yield f"not looked into: the subgraphs of {', '.join(inside)}"


def _has_free_size(entry: onnx.ValueInfoProto) -> bool:
    return any(not size.HasField("dim_value") for size in entry.type.tensor_type.shape.dim)


def _is_shifted(quantizer: onnx.NodeProto, graph: QuantizedGraph) -> bool:
    zero_point = graph.values_of(quantizer, 2)
    return zero_point is not None and bool(np.asarray(zero_point).astype(np.int64).any())


def _can_saturate(dequantizer: onnx.NodeProto, graph: QuantizedGraph) -> bool:
    name = dequantizer.input[0]
    if name in graph.constants and graph.constants[name].data_type == onnx.TensorProto.INT8:
        codes = np.asarray(numpy_helper.to_array(graph.constants[name])).astype(np.int64)
        return codes.size > 0 and np.abs(codes).max() > LARGEST_EXACT
    maker = graph.makers.get(name)
    if maker is None or maker.op_type != unpack_signed.NAME or maker.input[1] not in graph.constants:
        return False
    return bool(np.asarray(numpy_helper.to_array(graph.constants[maker.input[1]])).max(initial=0) > 7)
