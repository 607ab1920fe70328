"""The form that statistics and plans speak of: names and structure are the same whenever it is made.

Ensures: every node has a name; weights of Conv and Gemm have output channels first (Gemm: transB = 1); what scales
and shifts the channels of a layer is folded into it (batch norm: unless it is to stay); constants are initializers;
no Identity or Dropout in the way; the mean over both spatial axes of images is a GlobalAveragePool. A part of
``graph``, called wherever a model is read.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.fold_affine import fold_affine
from onnxq.graph.fold_constants import fold_constants
from onnxq.graph.integer_form import integer_form
from onnxq.graph.linear_layers import products_to_gemms
from onnxq.graph.matching import subgraphs
from onnxq.graph.names import Names
from onnxq.graph.stored_weights import write_stored_weights

# attributes of Constant other than a tensor
SCALAR_TYPES = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def normalize(graph: gs.Graph, *, for_integer_kernels: bool = False, keep_batch_norm: bool = False) -> bool:
    """Bring a graph to normal form.

    Args:
        keep_batch_norm: leave BatchNormalization as it is, for number formats in which it has parameters of its own.
        for_integer_kernels: and into operators that have such kernels (``onnxq.graph.integer_form``).
    """
    changed = constants_to_initializers(graph)
    for inner in subgraphs(graph):
        changed |= constants_to_initializers(inner)
    changed |= bypass_identities(graph)
    changed |= fold_constants(graph)
    changed |= products_to_gemms(graph, of_rows_only=for_integer_kernels)
    changed |= fold_affine(graph, keep_batch_norm=keep_batch_norm)
    changed |= normalize_gemms(graph)
    changed |= pool_means(graph)
    changed |= for_integer_kernels and integer_form(graph)
    changed |= name_nodes(graph)
    changed |= write_stored_weights(graph)
    graph.cleanup().toposort()
    return changed


def constants_to_initializers(graph: gs.Graph) -> bool:
    """Replace Constant nodes by initializers (strings and sparse tensors excepted)."""
    changed = False
    for node in [node for node in graph.nodes if node.op == "Constant"]:
        ((kind, value),) = node.attrs.items()
        if kind == "value":
            values = value.values
        elif kind in SCALAR_TYPES:
            values = np.array(value, SCALAR_TYPES[kind])
        else:
            continue
        tensor = node.outputs[0]
        node.outputs.clear()
        tensor.to_constant(values)
        changed = True
    return changed


def pool_means(graph: gs.Graph) -> bool:
    """Turn ReduceMean over axes 2 and 3 of four into GlobalAveragePool, which has faster kernels, and integer ones."""
    changed, names = False, Names(graph)
    for node in [node for node in graph.nodes if node.op == "ReduceMean"]:
        axes = node.inputs[1] if len(node.inputs) > 1 else None
        is_plane = isinstance(axes, gs.Constant) and sorted(int(axis) % 4 for axis in axes.values) == [2, 3]
        if not is_plane or len(node.inputs[0].shape or ()) != 4:
            continue
        keeps = node.attrs.get("keepdims", 1)
        node.op, node.attrs, node.inputs = "GlobalAveragePool", {}, node.inputs[:1]
        if not keeps:
            flat, shape = node.outputs[0], node.inputs[0].shape
            pooled = gs.Variable(names.fresh(f"{flat.name}/pooled"), flat.dtype, [*shape[:2], 1, 1])
            node.outputs = [pooled]
            graph.nodes.append(gs.Node("Flatten", names.fresh(f"{flat.name}/Flatten"), {"axis": 1}, [pooled], [flat]))
        changed = True
    return changed


def bypass_identities(graph: gs.Graph) -> bool:
    """Remove Identity and Dropout (inference mode) nodes, unless they make a graph output."""
    changed = False
    for node in [node for node in graph.nodes if node.op in ("Identity", "Dropout")]:
        output = node.outputs[0]
        kept = any(tensor is graph_output for tensor in node.outputs for graph_output in graph.outputs)
        if kept or any(mask.outputs for mask in node.outputs[1:]):
            continue
        for consumer in list(output.outputs):
            consumer.inputs = [node.inputs[0] if tensor is output else tensor for tensor in consumer.inputs]
        node.outputs.clear()
        changed = True
    return changed


def normalize_gemms(graph: gs.Graph) -> bool:
    """Give every Gemm with a constant weight transB = 1; where its bias is constant too, alpha = beta = 1, and the bias
    a value for each output, unless it differs from row to row.
    """
    changed = False
    names = Names(graph)
    for node in [node for node in graph.nodes if node.op == "Gemm" and isinstance(node.inputs[1], gs.Constant)]:
        weight = node.inputs[1]
        if not node.attrs.get("transB", 0):
            transposed = np.ascontiguousarray(weight.values.T)
            node.inputs[1] = gs.Constant(names.fresh(f"{weight.name}.transposed"), transposed)
            node.attrs["transB"] = 1
            changed = True
        if not all(isinstance(tensor, gs.Constant) for tensor in node.inputs[1:]):
            continue
        for position, attribute in ((1, "alpha"), (2, "beta")):
            factor = node.attrs.pop(attribute, 1.0)
            if factor != 1.0 and position < len(node.inputs):
                tensor = node.inputs[position]
                scaled = (tensor.values * factor).astype(tensor.values.dtype)
                node.inputs[position] = gs.Constant(names.fresh(f"{tensor.name}.scaled"), scaled)
                changed = True
        outputs = node.inputs[1].shape[0]
        for bias in node.inputs[2:]:
            if bias.values.size in (1, outputs) and bias.values.shape not in ((outputs,), (outputs, 1)):
                values = np.ascontiguousarray(np.broadcast_to(bias.values.reshape(-1), outputs))
                node.inputs[2] = gs.Constant(names.fresh(f"{bias.name}.vector"), values)
                changed = True
    return changed


def name_nodes(graph: gs.Graph) -> bool:
    """Give nameless or doubly named nodes a name made of their first output's."""
    names = Names(graph)
    seen: set[str] = set()
    changed = False
    for node in graph.nodes:
        if not node.name or node.name in seen:
            node.name = names.fresh(f"{node.op}_{node.outputs[0].name}" if node.outputs else node.op)
            changed = True
        seen.add(node.name)
    return changed
