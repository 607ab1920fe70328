"""Carry out a plan in standard QuantizeLinear / DequantizeLinear. A part of ``rewrite``, a writer of targets.

Activations become UINT8: narrower types do not survive ONNX Runtime's optimizer (it moves them through MaxPool,
which does not take them). Widths below 8 bits are made by a clamp before the quantizer. Weights become INT2, INT4 or
INT8, the narrowest type that holds their bits. Every zero point must lie within the grid.

What differs between runtimes are facts of the target: the sign of activations, biases as INT32 codes at the scale of
the products, operators that must move codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.plan import Plan
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.formats.affine import AffineParams
from onnxq.graph.names import Names
from onnxq.rewrite.integer_biases import with_room_for_biases, write_integer_bias
from onnxq.rewrite.integer_types import container_width, integers
from onnxq.rewrite.move_codes import move_codes
from onnxq.rewrite.notes import qdq_notes
from onnxq.rewrite.sites import sites

SIGNED_OFFSET = 128  # what an INT8 code lies below the UINT8 code of the same value


def quantize_linear(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Insert the quantizers of a plan; returns what could not be expressed, a sentence each."""
    tensors, names = graph.tensors(), Names(graph)
    offset = SIGNED_OFFSET if plan.target.symmetric_activations else 0
    for site in sites(graph, plan):
        site.redirect(_activation(graph, names, site.tensor, affine(site.params), site.point.rank, offset))
    layers, integer_biases = set(plan.layers), plan.target.integer_biases
    for name, quantized in plan.weights.items():
        weight = tensors[name]
        readers = [node for node in weight.outputs if node.name in layers and node.inputs[1] is weight]
        codes, params = quantized.codes, affine(quantized.params)
        if integer_biases:
            codes, params = with_room_for_biases(codes, params, readers)
        dequantized = _weight(graph, names, name, codes, params)
        for reader in readers:
            reader.inputs[1] = dequantized
            if integer_biases:
                write_integer_bias(graph, names, reader, params)
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


def _parameter(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(()) if values.size == 1 else values


def _activation(
    graph: gs.Graph, names: Names, tensor: gs.Tensor, params: AffineParams, rank: int, offset: int
) -> gs.Variable:
    name = tensor.name
    current = tensor
    # Also where 8 bits would need no clamp: ONNX Runtime would fuse a per-channel input into its integer convolution,
    # which then fails to run.
    if params.bits.min() < 8 or params.scale.size > 1:
        for op, bound in (("Max", params.lower), ("Min", params.upper)):
            limit = gs.Constant(
                names.fresh(f"{name}/{op}_limit"), broadcastable(bound.astype(np.float32), rank, CHANNEL_AXIS)
            )
            clamped = gs.Variable(names.fresh(f"{name}/{op}"), tensor.dtype, tensor.shape)
            graph.nodes.append(gs.Node(op, names.fresh(f"{name}/{op}"), {}, [current, limit], [clamped]))
            current = clamped
    scale = gs.Constant(names.fresh(f"{name}/scale"), _parameter(params.scale))
    kind = np.int8 if offset else np.uint8
    zero_point = gs.Constant(names.fresh(f"{name}/zero_point"), _parameter((params.zero_point - offset).astype(kind)))
    codes = gs.Variable(names.fresh(f"{name}/codes"), kind, tensor.shape)
    dequantized = gs.Variable(names.fresh(f"{name}/quantized"), tensor.dtype, tensor.shape)
    axis = {"axis": CHANNEL_AXIS} if params.scale.size > 1 else {}
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


def _weight(graph: gs.Graph, names: Names, name: str, stored: NDArray[Any], params: AffineParams) -> gs.Variable:
    width = container_width(int(params.bits.max()))
    half = 2.0 ** (params.bits - 1)  # codes 0 .. 2^bits - 1 become signed
    codes = stored - broadcastable(half, stored.ndim, 0)
    zero_point = params.zero_point - half
    scale = gs.Constant(names.fresh(f"{name}/scale"), _parameter(params.scale))
    dequantized = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, stored.shape)
    inputs = [
        integers(names.fresh(f"{name}/codes"), codes, width),
        scale,
        integers(names.fresh(f"{name}/zero_point"), _parameter(zero_point), width),
    ]
    axis = {"axis": 0} if params.scale.size > 1 else {}
    graph.nodes.append(
        gs.Node("DequantizeLinear", names.fresh(f"{name}/DequantizeLinear"), axis, inputs, [dequantized])
    )
    return dequantized
