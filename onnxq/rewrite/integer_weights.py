"""Weights as integer codes in front of a DequantizeLinear. A part of ``rewrite``, called by the writer of that.

Codes are stored in the narrowest type that holds them. For runtimes whose kernels want INT8, what is narrower is made
that when the session loads: by a Cast where the type has the very width of all channels, else from a bit stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.operator_call import DOMAIN
from onnxq.core.qparams import QuantizedWeight
from onnxq.core.shapes import broadcastable
from onnxq.core.target import Target
from onnxq.formats.affine import AffineParams
from onnxq.formats.packing import packed_inputs
from onnxq.graph.names import Names
from onnxq.operators import unpack_signed
from onnxq.rewrite.dequantize import dequantized
from onnxq.rewrite.integer_types import WEIGHT_TYPES, container_width, integers

INT8_WIDTH = 8


def parameter(values: NDArray[Any]) -> NDArray[Any]:
    """A scalar where there is one value."""
    return values.reshape(()) if values.size == 1 else values


def is_streamed(weight: QuantizedWeight, target: Target) -> bool:
    """Whether its INT8 codes are stored as a bit stream."""
    widths = weight.bits.tolist()
    in_types = all(width in WEIGHT_TYPES and width == widths[0] for width in widths)
    return target.expands_weights and not in_types and weight.codes.size <= target.most_streamed


def write_integer_weight(
    graph: gs.Graph, names: Names, name: str, stored: NDArray[np.uint8], params: AffineParams, target: Target
) -> gs.Variable:
    """Append what makes a weight [C, ...] from its codes; returns the weight.

    Args:
        name: new names begin with it.
    """
    halves = np.floor(np.exp2(params.bits - 1.0)).astype(np.int64)  # codes 0 .. 2^bits - 1 become signed
    width = container_width(int(params.bits.max()))
    if is_streamed(QuantizedWeight(stored, params), target):
        codes = _from_stream(graph, names, name, stored, params.bits)
        width = INT8_WIDTH
    else:
        codes = integers(names.fresh(f"{name}/codes"), stored - broadcastable(halves, stored.ndim, 0), width)
        if target.expands_weights and width < INT8_WIDTH:
            codes = _cast(graph, names, name, codes, stored.shape)
            width = INT8_WIDTH
    scale = gs.Constant(names.fresh(f"{name}/scale"), parameter(params.scale))
    zero_point = integers(names.fresh(f"{name}/zero_point"), parameter(params.zero_point - halves), width)
    axis = 0 if params.scale.size > 1 else None
    return dequantized(graph, names, name, [codes, scale, zero_point], stored.shape, axis)


def _cast(graph: gs.Graph, names: Names, name: str, codes: gs.Constant, shape: tuple[int, ...]) -> gs.Variable:
    made = gs.Variable(names.fresh(f"{name}/int8"), np.int8, shape)
    to = {"to": int(WEIGHT_TYPES[INT8_WIDTH])}
    graph.nodes.append(gs.Node("Cast", names.fresh(f"{name}/Cast"), to, [codes], [made]))
    return made


def _from_stream(
    graph: gs.Graph, names: Names, name: str, stored: NDArray[np.uint8], bits: NDArray[np.int32]
) -> gs.Variable:
    inputs = [
        gs.Constant(names.fresh(f"{name}/{field}"), values) for field, values in packed_inputs(stored, bits, {}).items()
    ]
    made = gs.Variable(names.fresh(f"{name}/int8"), np.int8, stored.shape)
    node_name = names.fresh(f"{name}/{unpack_signed.NAME}")
    graph.nodes.append(gs.Node(unpack_signed.NAME, node_name, {}, inputs, [made], domain=DOMAIN))
    return made
