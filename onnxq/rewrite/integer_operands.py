"""Constants that activations are added to or multiplied by, as codes; HardSigmoid as such a sum. A part of ``rewrite``.

Matrices of MatMul that are no layers' weights have a scale for each column, and the nearest codes.

For runtimes whose kernels for these want codes for both operands (``Target.fused_operators``).
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.target import Target
from onnxq.formats.affine import AffineParams, affine_params, fake_quantize, quantize
from onnxq.graph.clamps import CLAMPS
from onnxq.graph.matching import is_float_constant
from onnxq.graph.names import Names
from onnxq.rewrite.dequantize import dequantized
from onnxq.rewrite.integer_types import code_type

BITS = 8
BINARY = ("Add", "Mul")
MATRIX_RANK = 2
FACTOR_TOLERANCE = 0.05  # relative error of a factor that is a code
TOLERANCE = 1e-3  # that the range of a HardSigmoid may exceed 0 .. 1


def write_operands(graph: gs.Graph, names: Names, target: Target) -> None:
    """Rewrite them between quantizers that are in the graph already."""
    outputs = {id(tensor) for tensor in graph.outputs}
    for node in list(graph.nodes):
        if node.op not in target.fused_operators:
            continue
        if node.op == "MatMul" and isinstance(node.inputs[1], gs.Constant) and _is_dequantized(node.inputs[0]):
            node.inputs[1] = _matrix(graph, names, node.inputs[1], target)
        elif node.op == "HardSigmoid" and _is_quantized_behind(node.outputs[0], outputs):
            _write_hard_sigmoid(graph, names, node, target)
        elif node.op in BINARY and _is_quantized_behind(node.outputs[0], outputs):
            _write_operand(graph, names, node, target)


def _is_dequantized(tensor: gs.Tensor) -> bool:
    return bool(tensor.inputs) and tensor.inputs[0].op == "DequantizeLinear"


def _is_quantized_behind(tensor: gs.Tensor, outputs: set[int]) -> bool:
    """Whether a quantizer is all that reads it, behind a Relu or Clip perhaps.

    Args:
        outputs: identities of the network's outputs, which somebody else reads.
    """
    readers = tensor.outputs
    if len(readers) != 1 or id(tensor) in outputs:
        return False
    if readers[0].op in CLAMPS:
        return _is_quantized_behind(readers[0].outputs[0], outputs)
    return bool(readers[0].op == "QuantizeLinear")


def _write_operand(graph: gs.Graph, names: Names, node: gs.Node, target: Target) -> None:
    """Make the one constant of a sum or product codes, unless small factors among large ones would suffer."""
    places = [place for place, tensor in enumerate(node.inputs) if is_float_constant(tensor)]
    if len(places) != 1 or not _is_dequantized(node.inputs[1 - places[0]]):
        return
    operand = node.inputs[places[0]]
    params = _range_of(operand.values)
    errors = np.abs(fake_quantize(operand.values, params, axis=0) - operand.values)
    if node.op == "Add" or (errors <= FACTOR_TOLERANCE * np.abs(operand.values)).all():
        node.inputs[places[0]] = _as_codes(graph, names, operand.name, operand.values, params, target)


def _range_of(values: NDArray[np.float32]) -> AffineParams:
    return affine_params(min(float(values.min()), 0.0), max(float(values.max()), 0.0), BITS)


def _as_codes(
    graph: gs.Graph, names: Names, name: str, values: NDArray[np.float32], params: AffineParams, target: Target
) -> gs.Variable:
    """What makes a constant of codes of the type that activations have."""
    kind, offset = code_type(target)
    codes = np.asarray(quantize(values, params, axis=0) - offset)
    inputs = [
        gs.Constant(names.fresh(f"{name}/codes"), codes.astype(kind)),
        gs.Constant(names.fresh(f"{name}/scale"), params.scale.reshape(())),
        gs.Constant(names.fresh(f"{name}/zero_point"), (params.zero_point - offset).astype(kind).reshape(())),
    ]
    return dequantized(graph, names, name, inputs, values.shape, axis=None)


def _matrix(graph: gs.Graph, names: Names, matrix: gs.Constant, target: Target) -> gs.Tensor:
    """What makes a matrix [rows, columns] of signed codes, as wide as is exact; others as they are."""
    values = matrix.values
    if values.ndim != MATRIX_RANK or not is_float_constant(matrix) or not np.isfinite(values).all():
        return matrix
    top = 2.0 ** (min(BITS, target.widest_exact_weights) - 1) - 1
    scale = np.maximum(np.abs(values).max(axis=0, initial=0) / top, np.finfo(np.float32).tiny).astype(np.float32)
    inputs = [
        gs.Constant(names.fresh(f"{matrix.name}/codes"), np.rint(values / scale).astype(np.int8)),
        gs.Constant(names.fresh(f"{matrix.name}/scale"), scale),
        gs.Constant(names.fresh(f"{matrix.name}/zero_point"), np.zeros(scale.shape, np.int8)),
    ]
    return dequantized(graph, names, matrix.name, inputs, values.shape, axis=1)


def _write_hard_sigmoid(graph: gs.Graph, names: Names, node: gs.Node, target: Target) -> None:
    """clip(alpha x + beta, 0, 1) as x + beta / alpha, quantized in steps of scale / alpha and read in steps of scale.

    The ends of the type do what the clip did; a range within 0 .. 1 is what that takes.
    """
    alpha, beta = node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5)
    quantizer = node.outputs[0].outputs[0]
    if alpha <= 0 or not _is_dequantized(node.inputs[0]) or quantizer.op != "QuantizeLinear":
        return
    scale, zero_point = (float(tensor.values) for tensor in quantizer.inputs[1:3])
    first, last = _codes_of(quantizer)
    if (first - zero_point) * scale < -TOLERANCE or (last - zero_point) * scale > 1 + TOLERANCE:
        return
    name = node.outputs[0].name
    shift = np.array(beta / alpha, np.float32)
    summand = _as_codes(graph, names, f"{name}/shift", shift, _range_of(shift), target)
    node.op, node.attrs, node.inputs = "Add", {}, [node.inputs[0], summand]
    quantizer.inputs[1] = gs.Constant(names.fresh(f"{name}/wide_scale"), np.array(scale / alpha, np.float32))


def _codes_of(quantizer: gs.Node) -> tuple[int, int]:
    """The first and the last code that come out, a clamp of codes included."""
    readers = quantizer.outputs[0].outputs
    if len(readers) == 1 and readers[0].op == "Clip":
        first, last = (int(tensor.values) for tensor in readers[0].inputs[1:3])
        return first, last
    limits = np.iinfo(quantizer.inputs[2].dtype)
    return int(limits.min), int(limits.max)
