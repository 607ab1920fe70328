"""How far a quantized network is from the float one. A part of ``refine``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.feeds import Batch
from onnxq.refine.refinement import Draft, Run
from onnxq.rewrite import carry_out
from onnxq.runtime.batches import outputs_of
from onnxq.runtime.graph_session import graph_session

FloatArray = NDArray[np.float64]
Parts = list[FloatArray]  # an output, [images, values] of each batch


@dataclass
class Judge:
    """Tells how far drafts of one network are from the float network.

    Attributes:
        batches: images that had no part in them.
    """

    batches: Sequence[Batch]
    run: Run
    _exact: list[Parts] | None = field(default=None, init=False)

    def distances(self, draft: Draft) -> FloatArray:
        """|y - y^|^2 of each image, relative to the sum of |y - mean|^2 over all images, float64 [N].

        Their sum is 0 for the float network, and 1 for one that makes its mean: that of each value over the images, or
        where these differ in size, of all values. Outputs y that are no numbers for each image do not count; of
        several, the mean. Empty where there are none.
        """
        if self._exact is None:
            self._exact = self._outputs(draft.graph.copy(), draft)
        graph = draft.graph.copy()
        carry_out(graph, draft.plan)
        found = [
            relative_errors(exact, quantized)
            for exact, quantized in zip(self._exact, self._outputs(graph, draft), strict=True)
            if [part.shape for part in exact] == [part.shape for part in quantized]  # else the data decide on sizes
        ]
        return np.mean(found, axis=0) if found else np.zeros(0)

    def _outputs(self, graph: gs.Graph, draft: Draft) -> list[Parts]:
        """Those outputs that are numbers for each image."""
        names = [output.name for output in graph.outputs]
        session = graph_session(graph, draft.source, self.run.provider)
        made = [values for _, values in outputs_of(session, names, self.batches)]
        columns = []
        for parts in zip(*made, strict=True):
            if all(is_of_images(part, batch) for part, batch in zip(parts, self.batches, strict=True)):
                columns.append([part.reshape(len(part), -1).astype(np.float64) for part in parts])
        return columns


def is_of_images(output: NDArray[Any], batch: Batch) -> bool:
    """Whether an output is numbers for each image of a batch."""
    return bool(output.ndim) and len(output) == len(batch) and np.issubdtype(output.dtype, np.floating)


def relative_errors(exact: Parts, quantized: Parts) -> FloatArray:
    """Squared errors by the variance; infinite where the quantized network makes no numbers."""
    if len({part.shape[1] for part in exact}) == 1:
        exact, quantized = [np.concatenate(exact)], [np.concatenate(quantized)]
        mean = exact[0].mean(axis=0)
    else:
        mean = sum(part.sum() for part in exact) / max(sum(part.size for part in exact), 1)
    spread = sum(float(np.square(part - mean).sum()) for part in exact)
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.concatenate([np.square(one - two).sum(axis=1) for one, two in zip(exact, quantized, strict=True)])
    return np.where(np.isfinite(errors), errors / spread if spread > 0 else errors, np.inf)
