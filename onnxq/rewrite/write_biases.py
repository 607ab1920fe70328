"""Give layers the biases of a plan; one that has none gets one. A part of ``rewrite``, called by every writer.

Requires: the biases of these layers are constants, or there are none.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.graph.names import Names


def write_biases(graph: gs.Graph, plan: Plan) -> None:
    """Replace the biases that ``plan.biases`` names."""
    names = Names(graph)
    for node in graph.nodes:
        values = plan.biases.get(node.name)
        if values is None:
            continue
        has_one = len(node.inputs) > 2 and not node.inputs[2].is_empty()
        name = f"{node.inputs[2].name}/corrected" if has_one else f"{node.name}/bias"
        node.inputs = [*node.inputs[:2], gs.Constant(names.fresh(name), values)]
