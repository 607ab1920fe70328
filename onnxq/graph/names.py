"""Names that no tensor or node of a graph has yet. A part of ``graph``, used by everything that adds nodes."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxq.graph.matching import subgraphs


class Names:
    """The names in use, and new ones."""

    def __init__(self, graph: gs.Graph) -> None:
        self._taken: set[str] = set()
        for part in (graph, *subgraphs(graph)):  # names inside If and Loop hide none outside
            self._taken |= {tensor.name for tensor in [*part.inputs, *part.outputs]}
            for node in part.nodes:
                self._taken |= {node.name, *(tensor.name for tensor in [*node.inputs, *node.outputs])}

    def fresh(self, wish: str) -> str:
        """``wish``, or with a number behind it if that is taken; taken from now on."""
        name, number = wish, 1
        while name in self._taken:
            number += 1
            name = f"{wish}_{number}"
        self._taken.add(name)
        return name
