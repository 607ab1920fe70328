"""Products of tensors of any rank with a constant matrix as Gemm, between two Reshapes. A part of ``graph``.

What transformers, recurrent networks and ConvNeXt call linear layers: features are in the last axis, and of a Gemm in
axis 1, where channels are. Products of one tensor share its rows. Called by ``normalize``.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.matching import is_float_constant
from onnxq.graph.names import Names

MATRIX_RANK = 2


def products_to_gemms(graph: gs.Graph, *, of_rows_only: bool = False) -> bool:
    """Rewrite every MatMul whose second factor alone is a constant matrix.

    Args:
        of_rows_only: those of tensors of rank 2, which need no Reshape; others have integer kernels as they are.
    """
    names, rows = Names(graph), dict[int, gs.Variable]()
    linear = (node for node in graph.nodes if node.op == "MatMul" and _is_linear(node))
    found = [node for node in linear if not of_rows_only or len(node.inputs[0].shape or ()) == MATRIX_RANK]
    for node in found:
        if len(node.inputs[0].shape or ()) == MATRIX_RANK:
            node.op = "Gemm"
        else:
            _write_gemm(graph, names, node, rows)
    return bool(found)


def _is_linear(node: gs.Node) -> bool:
    x, matrix = node.inputs
    return is_float_constant(matrix) and len(matrix.shape) == MATRIX_RANK and isinstance(x, gs.Variable)


def _write_gemm(graph: gs.Graph, names: Names, node: gs.Node, rows: dict[int, gs.Variable]) -> None:
    """Reshape to [-1, inputs], Gemm with the bias that an Add behind it adds, and back.

    Args:
        rows: what was made of tensors so far, by their identity.
    """
    x, matrix = node.inputs
    inputs, outputs = (int(size) for size in matrix.shape)
    if id(x) not in rows:
        made = gs.Variable(names.fresh(f"{x.name}/rows"), np.float32, ["rows", inputs])
        _reshape(graph, names, x, _constant(names, f"{x.name}/rows_shape", [-1, inputs]), made)
        rows[id(x)] = made
    result, bias = node.outputs[0], _bias_behind(graph, node.outputs[0], outputs)
    factors = [rows[id(x)], matrix]
    if bias is not None:
        factors.append(bias)
        add = result.outputs[0]
        result = add.outputs[0]
        add.outputs.clear()
    node.outputs.clear()
    product = gs.Variable(names.fresh(f"{result.name}/rows"), np.float32, ["rows", outputs])
    graph.nodes.append(gs.Node("Gemm", node.name, {}, factors, [product]))
    _reshape(graph, names, product, _shape_of_result(graph, names, x, result.name, outputs), result)


def _bias_behind(graph: gs.Graph, result: gs.Tensor, outputs: int) -> gs.Constant | None:
    """What alone is added to a product, a value for each of its outputs."""
    if any(result is output for output in graph.outputs) or len(result.outputs) != 1 or result.outputs[0].op != "Add":
        return None
    others = [tensor for tensor in result.outputs[0].inputs if tensor is not result]
    is_vector = len(others) == 1 and is_float_constant(others[0]) and others[0].values.shape == (outputs,)
    return others[0] if is_vector else None


def _shape_of_result(graph: gs.Graph, names: Names, x: gs.Tensor, wish: str, outputs: int) -> gs.Tensor:
    """That of x with another last axis: a constant where one axis at most is not known."""
    before = list(x.shape[:-1]) if x.shape is not None else []
    known = [size for size in before if isinstance(size, int) and size > 0]
    if x.shape is not None and len(before) - len(known) <= 1:
        sizes = [size if isinstance(size, int) and size > 0 else -1 for size in before]
        return _constant(names, f"{wish}/shape", [*sizes, outputs])
    whole, leading, shape = (
        gs.Variable(names.fresh(f"{wish}/{kind}"), np.int64) for kind in ("input_shape", "leading", "shape")
    )
    ends = [_constant(names, f"{wish}/slice", [value]) for value in (0, -1, 0)]
    graph.nodes.append(gs.Node("Shape", names.fresh(f"{wish}/Shape"), {}, [x], [whole]))
    graph.nodes.append(gs.Node("Slice", names.fresh(f"{wish}/Slice"), {}, [whole, *ends], [leading]))
    last = _constant(names, f"{wish}/outputs", [outputs])
    graph.nodes.append(gs.Node("Concat", names.fresh(f"{wish}/Concat"), {"axis": 0}, [leading, last], [shape]))
    return shape


def _constant(names: Names, wish: str, values: list[int]) -> gs.Constant:
    return gs.Constant(names.fresh(wish), np.array(values, np.int64))


def _reshape(graph: gs.Graph, names: Names, x: gs.Tensor, shape: gs.Tensor, result: gs.Tensor) -> None:
    zeros = {} if isinstance(shape, gs.Constant) else {"allowzero": 1}  # of a sequence without steps
    graph.nodes.append(gs.Node("Reshape", names.fresh(f"{result.name}/Reshape"), zeros, [x, shape], [result]))
