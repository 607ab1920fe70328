"""Carry out a plan in standard QuantizeLinear / DequantizeLinear. A part of ``rewrite``, a writer of targets.

Activations become UINT8: narrower types do not survive ONNX Runtime's optimizer (it moves them through MaxPool, which
does not take them). Widths below 8 bits are made by a clamp. How weights are stored, ``integer_weights`` says. Every
zero point must lie within the grid.

What differs between runtimes are facts of the target: the sign of activations, where they are clamped, whether weights
are cast to INT8, biases as INT32 codes at the scale of the products, operators that must move codes.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.core.target import Target
from onnxq.formats.affine import AffineParams
from onnxq.graph.clamps import clamp_from_zero
from onnxq.graph.names import Names
from onnxq.rewrite.integer_biases import with_room_for_biases, write_integer_bias
from onnxq.rewrite.integer_operands import write_operands
from onnxq.rewrite.integer_types import code_type
from onnxq.rewrite.integer_weights import parameter, write_integer_weight
from onnxq.rewrite.move_codes import move_codes
from onnxq.rewrite.notes import qdq_notes
from onnxq.rewrite.sites import sites

Clamp = tuple[int, int]  # the first and the last code


def quantize_linear(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Insert the quantizers of a plan; returns what could not be expressed, a sentence each."""
    tensors, names = graph.tensors(), Names(graph)
    for site in sites(graph, plan):
        params, target = affine(site.params), plan.target
        narrow = params.bits.min() < 8 and site.point.shares is None  # who shares a quantizer reads what it clamped
        tensor, clamp = site.tensor, None
        if (narrow and not target.clamps_codes) or params.scale.size > 1:
            tensor = _clamped(graph, names, tensor, params, site.point.rank)
        elif narrow:
            tensor, clamp = _as_clamp_of_codes(tensor, params)
        site.redirect(_activation(graph, names, site.tensor.name, tensor, params, target, clamp))
    layers, integer_biases = set(plan.layers), plan.target.integer_biases
    for name, quantized in plan.weights.items():
        weight = tensors[name]
        readers = [node for node in weight.outputs if node.name in layers and node.inputs[1] is weight]
        codes, params = quantized.codes, affine(quantized.params)
        if integer_biases:
            codes, params = with_room_for_biases(codes, params, readers)
        dequantized = write_integer_weight(graph, names, name, codes, params, plan.target)
        for reader in readers:
            reader.inputs[1] = dequantized
            if integer_biases:
                write_integer_bias(graph, names, reader, params)
        for reader in [node for node in weight.outputs if node.name in plan.stored]:
            reader.inputs[0] = dequantized
    write_operands(graph, names, plan.target)
    move_codes(graph, names, plan.target.moves_codes)
    return qdq_notes(plan)


def affine(params: object) -> AffineParams:
    """The parameters, if QuantizeLinear can hold them.

    Raises:
        TypeError: it cannot; the recipe has checked that.
    """
    if not isinstance(params, AffineParams):
        raise TypeError("standard QuantizeLinear takes affine parameters only")
    return params


def _clamped(graph: gs.Graph, names: Names, tensor: gs.Tensor, params: AffineParams, rank: int) -> gs.Tensor:
    """A tensor within its range.

    Also where 8 bits would need no clamp: ONNX Runtime would fuse a per-channel input into its integer convolution,
    which then fails to run.
    """
    current = tensor
    for op, bound in (("Max", params.lower), ("Min", params.upper)):
        limit = gs.Constant(
            names.fresh(f"{tensor.name}/{op}_limit"), broadcastable(bound.astype(np.float32), rank, CHANNEL_AXIS)
        )
        clamped = gs.Variable(names.fresh(f"{tensor.name}/{op}"), tensor.dtype, tensor.shape)
        graph.nodes.append(gs.Node(op, names.fresh(f"{tensor.name}/{op}"), {}, [current, limit], [clamped]))
        current = clamped
    return current


def _as_clamp_of_codes(tensor: gs.Tensor, params: AffineParams) -> tuple[gs.Tensor, Clamp]:
    """What to quantize, and the codes between which its own are: a ReLU or Clip that made it becomes a part of that."""
    top = 2.0 ** int(params.bits.max()) - 1
    upper = clamp_from_zero(tensor.inputs[0]) if tensor.inputs else None
    if upper is None:
        return tensor, (0, int(top))
    zero, scale = float(params.zero_point.item()), params.scale.item()
    return tensor.inputs[0].inputs[0], (int(zero), int(min(np.rint(np.float32(upper) / np.float32(scale)) + zero, top)))


def _activation(
    graph: gs.Graph,
    names: Names,
    name: str,
    tensor: gs.Tensor,
    params: AffineParams,
    target: Target,
    clamp: Clamp | None,
) -> gs.Variable:
    """The quantized tensor; new names begin with ``name``."""
    scale = gs.Constant(names.fresh(f"{name}/scale"), parameter(params.scale))
    kind, offset = code_type(target)
    zero_point = gs.Constant(names.fresh(f"{name}/zero_point"), parameter((params.zero_point - offset).astype(kind)))
    codes = gs.Variable(names.fresh(f"{name}/codes"), kind, tensor.shape)
    dequantized = gs.Variable(names.fresh(f"{name}/quantized"), tensor.dtype, tensor.shape)
    axis = {"axis": CHANNEL_AXIS} if params.scale.size > 1 else {}
    graph.nodes.append(
        gs.Node("QuantizeLinear", names.fresh(f"{name}/QuantizeLinear"), axis, [tensor, scale, zero_point], [codes])
    )
    if clamp is not None:
        bounds = [
            gs.Constant(names.fresh(f"{name}/{end}"), np.array(bound - offset, kind))
            for end, bound in zip(("first", "last"), clamp, strict=True)
        ]
        all_codes, codes = codes, gs.Variable(names.fresh(f"{name}/clamped"), kind, tensor.shape)
        graph.nodes.append(gs.Node("Clip", names.fresh(f"{name}/Clip"), {}, [all_codes, *bounds], [codes]))
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
