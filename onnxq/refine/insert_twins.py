"""Measure layers against themselves: a twin beside each, and the mean difference of the two as an output.

A twin reads the same tensors until another pass quantizes what it reads; the layer itself stays in float, and so does
everything that follows from it. What is measured is the shift that a layer's own quantization causes.
A part of ``refine``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.names import Names


def insert_twins(graph: gs.Graph, layers: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give every named node a twin; the mean of original minus twin over all but the channels is a new output.

    The graph's own outputs are dropped.

    Returns:
        the names of the twins, and of the outputs, in the order of ``layers``.
    """
    names = Names(graph)
    nodes = {node.name: node for node in graph.nodes}
    rows = gs.Constant(names.fresh("twins/rows"), np.array([0, 0, -1], np.int64))
    axes = gs.Constant(names.fresh("twins/axes"), np.array([0, 2], np.int64))
    graph.outputs.clear()
    twins = []
    for name in layers:
        layer = nodes[name]

        def variable(suffix: str, name: str = name) -> gs.Variable:
            return gs.Variable(names.fresh(f"{name}/{suffix}"), np.float32)

        twin = gs.Node(layer.op, names.fresh(f"{name}/twin"), layer.attrs, list(layer.inputs), [variable("twin")])
        steps = [("Sub", [layer.outputs[0], twin.outputs[0]]), ("Reshape", [rows]), ("ReduceMean", [axes])]
        graph.nodes.append(twin)
        current: list[gs.Tensor] = []
        for op, inputs in steps:
            output = variable(op)
            attributes = {"keepdims": 0} if op == "ReduceMean" else {}
            graph.nodes.append(gs.Node(op, names.fresh(f"{name}/{op}"), attributes, [*current, *inputs], [output]))
            current = [output]
        graph.outputs.extend(current)
        twins.append(twin.name)
    for output in graph.outputs:
        output.shape = [f"{output.name}/channels"]
    return twins, [output.name for output in graph.outputs]
