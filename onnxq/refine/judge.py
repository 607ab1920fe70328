"""How far a quantized network is from the float one. A part of ``refine``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.refine.refinement import Draft, Run
from onnxq.rewrite import carry_out
from onnxq.runtime.batches import outputs_of
from onnxq.runtime.graph_session import graph_session


@dataclass
class Judge:
    """Tells how far drafts of one network are from the float network.

    Attributes:
        batches: images that had no part in them.
    """

    batches: Sequence[NDArray[np.float32]]
    run: Run
    _exact: list[NDArray[np.float64]] | None = field(default=None, init=False)

    def distance(self, draft: Draft) -> float:
        """E|y - y^|^2 / E|y - mean|^2 over the outputs y of the network: 0 for the float network, 1 for its mean.

        Where there are several outputs, the mean of theirs.
        """
        if self._exact is None:
            self._exact = self._outputs(draft.graph.copy(), draft)
        graph = draft.graph.copy()
        carry_out(graph, draft.plan)
        pairs = zip(self._exact, self._outputs(graph, draft), strict=True)
        return float(np.mean([_relative(exact, quantized) for exact, quantized in pairs]))

    def _outputs(self, graph: gs.Graph, draft: Draft) -> list[NDArray[np.float64]]:
        """All float outputs of all images, [N, ...]."""
        names = [output.name for output in graph.outputs]
        session = graph_session(graph, draft.source, self.run.provider)
        made: list[Sequence[NDArray[np.float32]]] = [values for _, values in outputs_of(session, names, self.batches)]
        return [
            np.concatenate(parts).astype(np.float64) for parts in zip(*made, strict=True) if parts[0].dtype.kind == "f"
        ]


def _relative(exact: NDArray[np.float64], quantized: NDArray[np.float64]) -> float:
    """Squared error by the variance over images; infinite where the quantized network makes no numbers."""
    if not np.isfinite(quantized).all():
        return float("inf")
    spread = float(np.square(exact - exact.mean(axis=0)).sum())
    error = float(np.square(exact - quantized).sum())
    return error / spread if spread > 0 else error
