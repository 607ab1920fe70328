"""Biases as INT32 codes at the scale of input times weight, as integer kernels add them. A part of ``rewrite``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.formats.affine import AffineParams
from onnxq.graph.names import Names
from onnxq.rewrite.dequantize import dequantized


def _scale_and_bias(layer: gs.Node) -> tuple[NDArray[np.float64], gs.Constant] | None:
    """The scale of a layer's input and its bias [C], where the one is quantized and the other constant."""
    quantizer = layer.inputs[0].inputs[0] if layer.inputs[0].inputs else None
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    if quantizer is None or quantizer.op != "DequantizeLinear" or not isinstance(bias, gs.Constant):
        return None
    if tuple(bias.shape) != (layer.inputs[1].shape[0],):
        return None
    return quantizer.inputs[1].values.astype(np.float64), bias


def with_room_for_biases(
    codes: NDArray[Any], params: AffineParams, layers: Sequence[gs.Node]
) -> tuple[NDArray[Any], AffineParams]:
    """Codes of a weight, and their parameters, at a step that lets biases be INT32 codes.

    A channel of next to no weights has a tiny step, in which its bias would exceed the type. At a step of
    |bias| / (input scale * 2^30) its weights still add less than a millionth of the bias to errors.
    """
    least = np.zeros(len(codes))
    for found in filter(None, map(_scale_and_bias, layers)):
        scale, bias = found
        least = np.maximum(least, np.abs(bias.values) / (scale * 2.0**30))
    if (least <= params.scale).all():
        return codes, params
    scales = np.maximum(np.broadcast_to(params.scale, least.shape), least).astype(np.float32)
    zero_point = np.broadcast_to(params.zero_point, least.shape)
    wider = AffineParams(scales, zero_point, np.broadcast_to(params.bits, least.shape))
    return wider.codes(params.dequantize(codes)), wider


def write_integer_bias(graph: gs.Graph, names: Names, layer: gs.Node, weight: AffineParams) -> None:
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
    layer.inputs[2] = dequantized(graph, names, bias.name, inputs, bias.shape, axis=0)
