"""Carry out a plan in standard QuantizeLinear / DequantizeLinear.

Activations become UINT8: narrower types do not survive ONNX Runtime's optimizer (it moves them through MaxPool,
which does not take them). Widths below 8 bits are made by a clamp before the quantizer. Weights become INT2, INT4 or
INT8, the narrowest type that holds their bits. Every zero point must lie within the grid.

Placement ``integer`` writes what ONNX Runtime fuses into integer kernels: symmetric weights, biases in INT32 at the
scale of the products. For TensorRT activations are INT8 with the zero point 0, and biases stay in float.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx_graphsurgeon.ir.tensor import LazyValues

from onnxq.grids.codebook import Codebook
from onnxq.grids.packing import pack
from onnxq.grids.uniform import UniformGrid, broadcastable, quantize
from onnxq.network import moves_values
from onnxq.passes.names import Names
from onnxq.passes.quantize_activations import CHANNEL_AXIS, sites
from onnxq.plan import ActivationQuantizer, Plan
from onnxq.weights import CodedWeight

INT2_OPSET = 25  # the first with INT2
SIGNED_OFFSET = 128  # what an INT8 code lies below the UINT8 code of the same value
WEIGHT_TYPES = {2: onnx.TensorProto.INT2, 4: onnx.TensorProto.INT4, 8: onnx.TensorProto.INT8}  # by width


def container_width(bits: int) -> int:
    """Width of the narrowest integer type that holds ``bits``."""
    return next(width for width in WEIGHT_TYPES if width >= bits)


def quantize_linear(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Insert the quantizers of a plan; returns what could not be expressed, a sentence each."""
    tensors, names = graph.tensors(), Names(graph)
    offset = SIGNED_OFFSET if plan.recipe.target == "tensorrt" else 0
    for site in list(sites(graph, plan)):
        site.redirect(_activation(graph, names, site.tensor, _uniform(site.quantizer), site.rank, offset))
    layers = set(plan.layers)
    fuses = plan.recipe.placement == "integer" and plan.recipe.target == "onnxruntime"
    for name, coded in plan.weights.items():
        weight = tensors[name]
        consumers = [node for node in weight.outputs if node.name in layers and node.inputs[1] is weight]
        if fuses:
            coded = _with_room_for_biases(coded, consumers)
        dequantized = _weight(graph, names, name, coded)
        for consumer in consumers:
            consumer.inputs[1] = dequantized
            if fuses:
                _bias(graph, names, consumer, _uniform(coded.grid))
    if fuses:
        _move_codes(graph, names)
    return _notes(plan)


def _move_codes(graph: gs.Graph, names: Names) -> None:
    """Let Slice and Pad move codes instead of what they stand for.

    ONNX Runtime leaves these two in float, unlike the others that only move values.
    """
    for node in [node for node in graph.nodes if node.op in ("Slice", "Pad") and moves_values(node)]:
        before = node.inputs[0].inputs[0] if node.inputs[0].inputs else None
        readers = node.outputs[0].outputs
        if before is None or before.op != "DequantizeLinear" or [reader.op for reader in readers] != ["QuantizeLinear"]:
            continue
        codes, after = before.inputs[0], readers[0]
        same = all(np.array_equal(a.values, b.values) for a, b in zip(before.inputs[1:], after.inputs[1:], strict=True))
        if not same or any(node.outputs[0] is output for output in graph.outputs):
            continue
        node.inputs = [codes, *node.inputs[1:]]
        if node.op == "Pad":  # zero, as a code
            zero = gs.Constant(names.fresh(f"{node.name}/zero"), before.inputs[2].values)
            node.inputs = [*node.inputs[:2], zero, *node.inputs[3:]]
        output = after.outputs[0]
        after.outputs.clear()
        node.outputs = [output]


def _scale_and_bias(layer: gs.Node) -> tuple[NDArray[np.float64], gs.Constant] | None:
    """The scale of a layer's input and its bias [C], where the one is quantized and the other constant."""
    quantizer = layer.inputs[0].inputs[0] if layer.inputs[0].inputs else None
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    if quantizer is None or quantizer.op != "DequantizeLinear" or not isinstance(bias, gs.Constant):
        return None
    if tuple(bias.shape) != (layer.inputs[1].shape[0],):
        return None
    return quantizer.inputs[1].values.astype(np.float64), bias


def _with_room_for_biases(coded: CodedWeight, layers: Sequence[gs.Node]) -> CodedWeight:
    """Codes at a step that lets biases be INT32 codes.

    A channel of next to no weights has a tiny step, in which its bias would exceed the type. At a step of
    |bias| / (input scale * 2^30) its weights still add less than a millionth of the bias to errors.
    """
    grid = _uniform(coded.grid)
    least = np.zeros(len(coded.codes))
    for found in filter(None, map(_scale_and_bias, layers)):
        scale, bias = found
        least = np.maximum(least, np.abs(bias.values) / (scale * 2.0**30))
    if (least <= grid.scale).all():
        return coded
    scales = np.maximum(np.broadcast_to(grid.scale, least.shape), least).astype(np.float32)
    zero_point = np.broadcast_to(grid.zero_point, least.shape)
    wider = UniformGrid(scales, zero_point, np.broadcast_to(grid.bits, least.shape))
    codes = quantize(coded.dequantized(), wider, axis=0).astype(coded.codes.dtype)
    return replace(coded, codes=codes, grid=wider)


def _bias(graph: gs.Graph, names: Names, layer: gs.Node, weight: UniformGrid) -> None:
    """The bias as INT32 codes at the scale of input times weight."""
    found = _scale_and_bias(layer)
    if found is None:
        return
    input_scale, bias = found
    scale = np.broadcast_to(input_scale * weight.scale, bias.values.shape).astype(np.float32)
    codes = np.rint(bias.values.astype(np.float64) / scale)
    if not (np.abs(codes) < 2**31).all():  # the product of both scales is no float32 above zero
        return
    inputs = [
        gs.Constant(names.fresh(f"{bias.name}/codes"), codes.astype(np.int32)),
        gs.Constant(names.fresh(f"{bias.name}/scale"), scale),
    ]
    dequantized = gs.Variable(names.fresh(f"{bias.name}/dequantized"), np.float32, bias.shape)
    node_name = names.fresh(f"{bias.name}/DequantizeLinear")
    graph.nodes.append(gs.Node("DequantizeLinear", node_name, {"axis": 0}, inputs, [dequantized]))
    layer.inputs[2] = dequantized


def _parameter(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(()) if values.size == 1 else values


def _activation(
    graph: gs.Graph, names: Names, tensor: gs.Tensor, grid: UniformGrid, rank: int, offset: int
) -> gs.Variable:
    name = tensor.name
    current = tensor
    # Also where 8 bits would need no clamp: ONNX Runtime would fuse a per-channel input into its integer convolution,
    # which then fails to run.
    if grid.bits.min() < 8 or grid.scale.size > 1:
        for op, bound in (("Max", grid.lower), ("Min", grid.upper)):
            limit = gs.Constant(
                names.fresh(f"{name}/{op}_limit"), broadcastable(bound.astype(np.float32), rank, CHANNEL_AXIS)
            )
            clamped = gs.Variable(names.fresh(f"{name}/{op}"), tensor.dtype, tensor.shape)
            graph.nodes.append(gs.Node(op, names.fresh(f"{name}/{op}"), {}, [current, limit], [clamped]))
            current = clamped
    scale = gs.Constant(names.fresh(f"{name}/scale"), _parameter(grid.scale))
    kind = np.int8 if offset else np.uint8
    zero_point = gs.Constant(names.fresh(f"{name}/zero_point"), _parameter((grid.zero_point - offset).astype(kind)))
    codes = gs.Variable(names.fresh(f"{name}/codes"), kind, tensor.shape)
    dequantized = gs.Variable(names.fresh(f"{name}/quantized"), tensor.dtype, tensor.shape)
    axis = {"axis": CHANNEL_AXIS} if grid.scale.size > 1 else {}
    graph.nodes.append(
        gs.Node("QuantizeLinear", names.fresh(f"{name}/QuantizeLinear"), axis, [current, scale, zero_point], [codes])
    )
    graph.nodes.append(
        gs.Node(
            "DequantizeLinear",
            names.fresh(f"{name}/DequantizeLinear"),
            dict(axis),
            [codes, scale, zero_point],
            [dequantized],
        )
    )
    return dequantized


def _uniform(quantizer: ActivationQuantizer | Codebook) -> UniformGrid:
    if not isinstance(quantizer, UniformGrid):
        raise TypeError("standard QuantizeLinear takes uniform grids only")  # the recipe has checked it
    return quantizer


def _weight(graph: gs.Graph, names: Names, name: str, coded: CodedWeight) -> gs.Variable:
    grid = _uniform(coded.grid)
    width = container_width(int(grid.bits.max()))
    half = 2.0 ** (grid.bits - 1)  # codes 0 .. 2^bits - 1 become signed
    codes = coded.codes - broadcastable(half, coded.codes.ndim, 0)
    zero_point = grid.zero_point - half
    scale = gs.Constant(names.fresh(f"{name}/scale"), _parameter(grid.scale))
    dequantized = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, coded.codes.shape)
    inputs = [
        _integers(names.fresh(f"{name}/codes"), codes, width),
        scale,
        _integers(names.fresh(f"{name}/zero_point"), _parameter(zero_point), width),
    ]
    axis = {"axis": 0} if grid.scale.size > 1 else {}
    graph.nodes.append(
        gs.Node("DequantizeLinear", names.fresh(f"{name}/DequantizeLinear"), axis, inputs, [dequantized])
    )
    return dequantized


def _integers(name: str, values: NDArray[Any], width: int) -> gs.Constant:
    """A constant of signed integers of ``width`` bits, two's complement."""
    unsigned = (values.astype(np.int64) & (2**width - 1)).astype(np.uint8)
    raw = pack(unsigned.reshape(1, -1), np.array([width], np.int32)).tobytes()
    tensor = onnx.helper.make_tensor(name, WEIGHT_TYPES[width], values.shape, raw, raw=True)
    return gs.Constant(name, LazyValues(tensor))


def _notes(plan: Plan) -> tuple[str, ...]:
    recipe = plan.recipe
    notes = []
    if any(_uniform(grid).bits.min() < 8 for grid in plan.activations.values()):
        notes.append(
            f"{recipe.act_bits}-bit activations are stored as UINT8 with the range clamped: "
            "ONNX Runtime takes no narrower type through every operator"
        )
    for bits in sorted({int(coded.bits.max()) for coded in plan.weights.values()}):
        if (width := container_width(bits)) != bits:
            notes.append(f"{bits}-bit weights are stored as INT{width} with the range clamped")
    if any(coded.bits.max() <= 2 for coded in plan.weights.values()):
        notes.append(
            f"INT2 weights need opset {INT2_OPSET}: the CUDA provider has no kernels for it, and older runtimes fail"
        )
    if any(_uniform(grid).scale.size > 1 for grid in plan.activations.values()):
        notes.append("per-channel activations are valid ONNX, but integer kernels need --act-granularity per-tensor")
    if recipe.target == "tensorrt":
        notes.append("activations are symmetric INT8 with the zero point 0, as TensorRT requires")
    else:
        notes.append("ranges were widened to contain zero, as integer zero points require")
    if recipe.target == "onnxruntime" and recipe.placement == "inputs" and recipe.act_bits == recipe.weight_bits == 8:
        notes.append("for integer kernels throughout, calibrate and quantize with --placement integer")
    return tuple(notes)
