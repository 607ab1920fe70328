"""Measure the mean and the variance of what layers make, and, where targets are given, normalize it to these.

A part of ``refine``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.graph.names import Names


@dataclass(frozen=True)
class Moments:
    """Mean and variance of the channels of a tensor, float64 [C], and how many values of each a batch has."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    count: int


def insert_moments(graph: gs.Graph, layers: Sequence[str], targets: Mapping[str, Moments] | None = None) -> list[str]:
    """Add three outputs for each named node: mean and variance of every channel over the batch, float32 [C], and the
    number of values in each, int64 scalar.

    The graph's own outputs are dropped. With ``targets``, by node name, what reads the node reads its output normalized
    over the batch to these instead.

    Returns:
        names of the outputs: mean, variance and count of the first node, then of the second, and so on.
    """
    names = Names(graph)
    nodes = {node.name: node for node in graph.nodes}
    graph.outputs.clear()
    outputs = []
    for name in layers:
        made = nodes[name].outputs[0]
        readers = list(made.outputs)
        rank = len(nodes[name].inputs[1].shape)
        axes = gs.Constant(names.fresh(f"{name}/axes"), np.array([0, *range(2, rank)], np.int64))

        def add(
            op: str, *inputs: gs.Tensor, name: str = name, kind: type = np.float32, **attributes: int
        ) -> gs.Variable:
            output = gs.Variable(names.fresh(f"{name}/{op}"), kind)
            graph.nodes.append(gs.Node(op, names.fresh(f"{name}/{op}"), attributes, list(inputs), [output]))
            return output

        def column(values: NDArray[np.float64], name: str = name, rank: int = rank) -> gs.Constant:
            shaped = values.astype(np.float32).reshape(-1, *[1] * (rank - 2))
            return gs.Constant(names.fresh(f"{name}/target"), shaped)

        mean = add("ReduceMean", made, axes)
        centred = add("Sub", made, mean)
        variance = add("ReduceMean", add("Mul", centred, centred), axes)
        if targets is not None:
            target = targets[name]
            tiny = gs.Constant(names.fresh(f"{name}/tiny"), np.array(1e-20, np.float32))
            unit = add("Div", centred, add("Sqrt", add("Add", variance, tiny)))
            matched = add("Add", add("Mul", unit, column(np.sqrt(target.variance))), column(target.mean))
            for reader in readers:
                reader.inputs = [matched if tensor is made else tensor for tensor in reader.inputs]
        flat = gs.Constant(names.fresh(f"{name}/flat"), np.array([-1], np.int64))
        lengths = add("Gather", add("Shape", made, kind=np.int64), axes, kind=np.int64)
        measured = [add("Reshape", mean, flat), add("Reshape", variance, flat)]
        for output in measured:
            output.shape = [f"{output.name}/channels"]
        measured.append(add("ReduceProd", lengths, kind=np.int64, keepdims=0))
        measured[-1].shape = []
        graph.outputs.extend(measured)
        outputs += [output.name for output in measured]
    return outputs
