"""Exact percentiles of |x| of one batch: nodes beside a tensor that sort its largest values.

The k-th smallest magnitude, k = int(share * n), counted from 1 (and at least the first). A part of ``observe``, for
moving averages of percentiles; histograms alone are wide of it by up to the width of a bin, 3 percent on small batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.graph.names import Names

OUTPUTS = {"TopK": 2}
DOUBLE, INT64 = 11, 7  # ONNX's numbers of the types


def insert_order_statistics(graph: gs.Graph, tensor_names: Sequence[str], percentile: float) -> list[str]:
    """Add an output for each named tensor [N, C, ...]: float32 [C + 1], of each channel and of the whole.

    Args:
        percentile: above 0 and at most 100.
    """
    tensors, names = graph.tensors(), Names(graph)
    outputs = []
    for name in tensor_names:
        chain = _Chain(graph, names, name)
        magnitudes = chain.add("Abs", [tensors[name]])
        planes = chain.add("Reshape", [magnitudes, chain.constant([0, 0, -1])])
        rows = chain.add("Reshape", [chain.add("Transpose", [planes], perm=[1, 0, 2]), chain.constant([0, -1])])
        whole = chain.add("Reshape", [magnitudes, chain.constant([1, -1])])
        both = [chain.order_statistic(values, round(percentile / 100, 12)) for values in (rows, whole)]
        output = chain.add("Concat", both, axis=0)
        output.dtype, output.shape = np.float32, [f"{name}/channels_and_whole"]
        graph.outputs.append(output)
        outputs.append(output.name)
    return outputs


class _Chain:
    """Nodes whose names begin with a tensor's."""

    def __init__(self, graph: gs.Graph, names: Names, prefix: str) -> None:
        self._graph, self._names, self._prefix = graph, names, prefix

    def constant(self, values: object, dtype: type[np.generic] = np.int64) -> gs.Constant:
        return gs.Constant(self._names.fresh(f"{self._prefix}/constant"), np.array(values, dtype))

    def add(self, operator: str, inputs: list[gs.Tensor], **attributes: Any) -> gs.Variable:
        made = [gs.Variable(self._names.fresh(f"{self._prefix}/{operator}")) for _ in range(OUTPUTS.get(operator, 1))]
        node = self._names.fresh(f"{self._prefix}/{operator}/node")
        self._graph.nodes.append(gs.Node(operator, node, attributes, inputs, made))
        return made[0]

    def order_statistic(self, rows: gs.Variable, share: float) -> gs.Variable:
        """Of each row [C, n] the int(share * n)-th smallest value, float32 [C]."""
        count = self.add("Shape", [rows], start=1)
        product = self.add("Mul", [self.add("Cast", [count], to=DOUBLE), self.constant(share, np.float64)])
        rank = self.add("Max", [self.add("Cast", [self.add("Floor", [product])], to=INT64), self.constant([1])])
        largest = self.add("Add", [self.add("Sub", [count, rank]), self.constant([1])])
        top = self.add("TopK", [rows, largest], axis=1)
        return self.add("Gather", [top, self.constant(-1)], axis=1)
