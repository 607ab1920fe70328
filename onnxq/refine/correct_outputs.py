"""Correct what quantization takes from the mean of layers' outputs, where quantizers sit there. A refinement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.qparams import StaticParams
from onnxq.core.statistics import Statistics
from onnxq.errors import OnnxqError
from onnxq.formats.shifted import ShiftedParams
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import STEPS
from onnxq.refine.refinement import Draft, Images, Refinement, Run


@STEPS.register("correct-outputs")
@dataclass(frozen=True)
class CorrectOutputs(Refinement):
    """Add (E[y] - E[q(y)]) / P(y > 0) to the quantized values of a channel that are above zero.

    What the published ACIQ system does with each batch's own means (``-bca``), by the means of calibration. Fewer
    values are above zero when quantized than before, so that a part of the difference stays. Dividing by P(q(y) > 0)
    leaves none, and costs accuracy: at 3 bits few values are left to carry what all the others lost.
    """

    needs_statistics: ClassVar[bool] = True

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """It needs static quantizers behind layers, of a format whose mean is known."""
        if not points.at_inputs and activations is not None and activations.tells_mean:
            return []
        return ["outputs are corrected where static quantizers sit behind layers: `points` outputs"]

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        if draft.statistics is None:
            raise OnnxqError("calibration statistics are needed to correct outputs: `statistics`")
        if draft.plan.target.standard_operators:
            raise OnnxqError("`steps` correct-outputs: only the target onnxq holds values off their grid")
        made = {layer.output for layer in draft.layers if layer.op == "Conv"}
        activations = dict(draft.plan.activations)
        for name, point in draft.plan.points.items():
            if point.observed in made or name in made:
                static: StaticParams = activations[name]  # type: ignore[assignment]  # by the recipe's checks
                activations[name] = ShiftedParams(static, _shift(name, point.pre_activation, static, draft.statistics))
        return replace(draft, plan=replace(draft.plan, activations=activations))


def _shift(name: str, before: str | None, params: StaticParams, statistics: Statistics) -> NDArray[np.float32]:
    """float32 [C]; 0 where nothing is above zero."""
    own = statistics.tensor(name)
    lost = own.mean - params.expected_value(own.histogram, own.anchor.astype(np.float64))
    counted = statistics.tensor(before) if before is not None else own
    half = counted.histogram.shape[1] // 2
    positive = counted.histogram[:, half:].sum(axis=1)
    shift = lost * own.count / np.maximum(positive, 1)
    return np.where(positive > 0, shift, 0).astype(np.float32)
