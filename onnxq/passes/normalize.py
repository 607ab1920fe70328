"""The form that statistics and plans speak of: names and structure are the same whenever it is made.

Ensures: every node has a name; weights of Conv and Gemm have output channels first (Gemm: transB = 1); batch norm is
folded; constants are initializers; no Identity or Dropout in the way.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.passes.fold_batch_norm import fold_batch_norm


def normalize(graph: gs.Graph) -> bool:
    """Bring a graph to normal form."""
    changed = constants_to_initializers(graph)
    changed |= bypass_identities(graph)
    changed |= fold_batch_norm(graph)
    changed |= transpose_gemm_weights(graph)
    changed |= name_nodes(graph)
    graph.cleanup().toposort()
    return changed


def constants_to_initializers(graph: gs.Graph) -> bool:
    """Replace Constant nodes by initializers."""
    changed = False
    for node in [node for node in graph.nodes if node.op == "Constant" and "value" in node.attrs]:
        tensor = node.outputs[0]
        value = node.attrs["value"]
        node.outputs.clear()
        tensor.to_constant(value.values)
        changed = True
    return changed


def bypass_identities(graph: gs.Graph) -> bool:
    """Remove Identity and Dropout (inference mode) nodes, unless they make a graph output."""
    changed = False
    for node in [node for node in graph.nodes if node.op in ("Identity", "Dropout")]:
        output = node.outputs[0]
        if any(output is graph_output for graph_output in graph.outputs) or any(o.outputs for o in node.outputs[1:]):
            continue
        for consumer in list(output.outputs):
            consumer.inputs = [node.inputs[0] if tensor is output else tensor for tensor in consumer.inputs]
        node.outputs.clear()
        changed = True
    return changed


def transpose_gemm_weights(graph: gs.Graph) -> bool:
    """Give every Gemm with a constant weight transB = 1."""
    changed = False
    for node in graph.nodes:
        if node.op == "Gemm" and not node.attrs.get("transB", 0) and isinstance(node.inputs[1], gs.Constant):
            weight = node.inputs[1]
            transposed = np.ascontiguousarray(weight.values.T)
            name = weight.name if len(weight.outputs) == 1 else f"{node.name}.{weight.name}"
            node.inputs[1] = gs.Constant(name, transposed)
            node.attrs["transB"] = 1
            changed = True
    return changed


def name_nodes(graph: gs.Graph) -> bool:
    """Give nameless or doubly named nodes the name of their first output."""
    seen: set[str] = set()
    changed = False
    for node in graph.nodes:
        if not node.name or node.name in seen:
            node.name = f"{node.op}_{node.outputs[0].name}" if node.outputs else node.op
            changed = True
        seen.add(node.name)
    return changed
