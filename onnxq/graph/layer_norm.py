"""Layer normalization that is written out, as the one operator. A part of ``graph``, called by ``integer_form``.

What lies inside must not be quantized: a variance, and the small number that is added to it.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxq.graph.matching import is_float_constant, is_value, maker_of
from onnxq.graph.names import Names

VALUES_RANK = 1


def write_layer_norms(graph: gs.Graph) -> bool:
    """Turn (x - mean) / sqrt(mean((x - mean)^2) + eps) * scale + bias over the last axis into LayerNormalization."""
    names, changed = Names(graph), False
    for last in [node for node in graph.nodes if node.op == "Add"]:
        bias, scaled = _constant_and(last)
        product = maker_of(scaled, "Mul")
        scale, normal = _constant_and(product) if product is not None else (None, None)
        quotient = maker_of(normal, "Div")
        if bias is None or scale is None or quotient is None or scale.values.ndim != 1 or scale.shape != bias.shape:
            continue
        found = _source_and_epsilon(quotient)
        if found is None:
            continue
        made = last.outputs[0]
        last.outputs.clear()
        inputs, attributes = [found[0], scale, bias], {"axis": -1, "epsilon": found[1]}
        graph.nodes.append(
            gs.Node("LayerNormalization", names.fresh(f"{made.name}/LayerNormalization"), attributes, inputs, [made])
        )
        changed = True
    return changed


def _source_and_epsilon(quotient: gs.Node) -> tuple[gs.Tensor, float] | None:
    """x and eps of (x - mean) / sqrt(mean((x - mean)^2) + eps)."""
    centred, root = quotient.inputs
    difference, sqrt = maker_of(centred, "Sub"), maker_of(root, "Sqrt")
    total = maker_of(sqrt.inputs[0], "Add") if sqrt is not None else None
    if difference is None or total is None:
        return None
    epsilon, variance = _constant_and(total)
    spread, mean = maker_of(variance, "ReduceMean"), maker_of(difference.inputs[1], "ReduceMean")
    if epsilon is None or epsilon.values.size != 1 or mean is None or spread is None:
        return None
    square = maker_of(spread.inputs[0], "Pow", "Mul")
    if square is None:
        return None
    is_square = square.inputs[1] is centred if square.op == "Mul" else is_value(square.inputs[1], 2)
    x = difference.inputs[0]
    if square.inputs[0] is not centred or not is_square or mean.inputs[0] is not x:
        return None
    return (x, float(epsilon.values.item())) if _over_last(mean, x) and _over_last(spread, x) else None


def _constant_and(node: gs.Node) -> tuple[gs.Constant | None, gs.Tensor | None]:
    """The constant float32 vector that a node of two inputs reads, and its other input."""
    for constant, other in (node.inputs, node.inputs[::-1]):
        if is_float_constant(constant) and constant.values.ndim <= VALUES_RANK:
            return constant, other
    return None, None


def _over_last(mean: gs.Node, x: gs.Tensor) -> bool:
    axes = mean.inputs[1] if len(mean.inputs) > 1 else None
    if not isinstance(axes, gs.Constant) or axes.values.size != 1 or not mean.attrs.get("keepdims", 1):
        return False
    return int(axes.values.item()) in (-1, len(x.shape or ()) - 1)
