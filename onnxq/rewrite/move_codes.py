"""Let operators that only move values stand between the codes. A part of ``rewrite``.

For runtimes that leave them in float elsewhere (``Target.moves_codes``).
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.analysis import moves_values
from onnxq.graph.names import Names


def move_codes(graph: gs.Graph, names: Names, operators: tuple[str, ...]) -> None:
    """Let these operators, Slice or Pad, move codes instead of what they stand for."""
    for node in [node for node in graph.nodes if moves_values(node, operators)]:
        before = node.inputs[0].inputs[0] if node.inputs[0].inputs else None
        readers = node.outputs[0].outputs
        if before is None or before.op != "DequantizeLinear" or [reader.op for reader in readers] != ["QuantizeLinear"]:
            continue
        codes, after = before.inputs[0], readers[0]
        same = all(np.array_equal(a.values, b.values) for a, b in zip(before.inputs[1:], after.inputs[1:], strict=True))
        if not same or any(node.outputs[0] is output for output in graph.outputs):
            continue
        node.inputs = [codes, *node.inputs[1:]]
        if node.op == "Pad":  # zero, as a code
            zero = gs.Constant(names.fresh(f"{node.name}/zero"), before.inputs[2].values)
            node.inputs = [*node.inputs[:2], zero, *node.inputs[3:]]
        output = after.outputs[0]
        after.outputs.clear()
        node.outputs = [output]
