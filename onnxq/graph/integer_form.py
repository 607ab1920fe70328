"""Write what has no integer kernel in operators that have one. A part of ``graph``, called by ``normalize``.

HardSwish, an operator or written out, is x times HardSigmoid; BatchNormalization that no layer takes up is a depthwise
convolution with one weight a channel; a division by a constant is a product; layer normalization is one operator, which
stays in float. The same function of the input up to float32 rounding.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.fold_affine import gain_and_offset
from onnxq.graph.layer_norm import write_layer_norms
from onnxq.graph.matching import is_float_constant, is_value, maker_of
from onnxq.graph.names import Names

HARD_SWISH = {"alpha": 1 / 6, "beta": 0.5}  # of its HardSigmoid
SPATIAL_RANK = 4


def integer_form(graph: gs.Graph) -> bool:
    """Rewrite what can be."""
    names, changed = Names(graph), write_layer_norms(graph)
    for node in [node for node in graph.nodes if node.outputs]:  # what was folded makes nothing any more
        if node.op == "HardSwish":
            _write_hard_swish(graph, names, node.inputs[0], node)
            changed = True
        elif node.op == "Div" and (source := _written_out(node)) is not None:
            _write_hard_swish(graph, names, source, node)
            changed = True
        elif node.op == "Div" and is_float_constant(node.inputs[1]):
            changed |= _write_product(names, node)
        elif node.op == "BatchNormalization":
            changed |= _write_depthwise(names, node)
    graph.cleanup().toposort()
    return changed


def _write_product(names: Names, node: gs.Node) -> bool:
    """Make a quotient by a constant a product."""
    divisor = node.inputs[1]
    with np.errstate(divide="ignore", over="ignore"):
        reciprocal = np.asarray(1 / divisor.values.astype(np.float64)).astype(np.float32)
    if not np.isfinite(reciprocal).all():
        return False
    node.op, node.inputs = "Mul", [node.inputs[0], gs.Constant(names.fresh(f"{divisor.name}.reciprocal"), reciprocal)]
    return True


def _write_hard_swish(graph: gs.Graph, names: Names, x: gs.Tensor, last: gs.Node) -> None:
    """Put x * HardSigmoid(x) in the place of a node."""
    made = last.outputs[0]
    last.outputs.clear()
    gate = gs.Variable(names.fresh(f"{made.name}/gate"), made.dtype, made.shape)
    graph.nodes.append(gs.Node("HardSigmoid", names.fresh(f"{made.name}/HardSigmoid"), dict(HARD_SWISH), [x], [gate]))
    graph.nodes.append(gs.Node("Mul", names.fresh(f"{made.name}/Mul"), {}, [x, gate], [made]))


def _written_out(last: gs.Node) -> gs.Tensor | None:
    """The x of x * Clip(x + 3, 0, 6) / 6, whose Div this is; None of anything else."""
    product = maker_of(last.inputs[0], "Mul")
    if product is None or not is_value(last.inputs[1], 6):
        return None
    for x, factor in (product.inputs, product.inputs[::-1]):
        clip = maker_of(factor, "Clip")
        if clip is None or len(clip.inputs) != 3 or not (is_value(clip.inputs[1], 0) and is_value(clip.inputs[2], 6)):
            continue
        shift = maker_of(clip.inputs[0], "Add")
        if shift is not None and any(
            first is x and is_value(second, 3) for first, second in (shift.inputs, shift.inputs[::-1])
        ):
            return x
    return None


def _write_depthwise(names: Names, node: gs.Node) -> bool:
    """Make a batch norm of images a convolution."""
    shape = node.inputs[0].shape
    if shape is None or len(shape) != SPATIAL_RANK or not isinstance(node.inputs[1], gs.Constant):
        return False
    channels = int(node.inputs[1].shape[0])
    found = gain_and_offset(node, channels, SPATIAL_RANK)
    if found is None:
        return False
    gain, offset = found
    prefix = node.outputs[0].name
    weight = gs.Constant(names.fresh(f"{prefix}/gain"), gain.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = gs.Constant(names.fresh(f"{prefix}/offset"), offset.astype(np.float32))
    node.op, node.attrs, node.inputs = "Conv", {"group": channels}, [node.inputs[0], weight, bias]
    return True
