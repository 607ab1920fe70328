"""Compute what only gives a constant another shape: biases of some exporters.

A part of ``graph``, called by ``normalize``.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs
from onnx.reference import ReferenceEvaluator

FOLDED = ("Reshape", "Unsqueeze", "Squeeze", "Transpose", "Flatten")


def fold_constants(graph: gs.Graph) -> bool:
    """Replace what such nodes make of constants by constants."""
    changed = False
    for node in graph.toposort().nodes:
        inputs = [tensor for tensor in node.inputs if not tensor.is_empty()]
        if node.op not in FOLDED or not all(isinstance(tensor, gs.Constant) for tensor in inputs):
            continue
        made = node.outputs[0]
        if any(made is output for output in graph.outputs):
            continue
        alone = gs.Graph(nodes=[node], inputs=[], outputs=[made], opset=graph.opset)
        (values,) = ReferenceEvaluator(gs.export_onnx(alone, do_type_check=False)).run(None, {})
        node.outputs.clear()
        made.to_constant(values)
        changed = True
    return changed
