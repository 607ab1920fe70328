"""Correct what quantization takes from the mean of layers' outputs, where quantizers sit there. A refinement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.histogram import BINS, HALF, bin_edges
from onnxq.core.qparams import StaticParams
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.errors import OnnxqError
from onnxq.formats.shifted import ShiftedParams
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import STEPS
from onnxq.refine.refinement import Draft, Images, Refinement, Run

PLACES = 16  # in a bin


@STEPS.register("correct-outputs")
@dataclass(frozen=True)
class CorrectOutputs(Refinement):
    """Add (E[y] - E[q(y)]) / P(q(y) > 0) to the quantized values of a channel that are above zero: its mean is E[y].

    The published ACIQ system (``-bca``) does it with each batch's own means, and divides by P(y > 0), which leaves a
    part of the difference. Nothing is moved by more than the smallest value above zero.
    """

    needs_statistics: ClassVar[bool] = True

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """It needs static quantizers behind layers, of a format whose mean is known."""
        if not points.at_inputs and activations is not None and activations.tell_mean:
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
                activations[name] = ShiftedParams(static, _shift(static, draft.statistics.tensor(name)))
        return replace(draft, plan=replace(draft.plan, activations=activations))


def _shift(params: StaticParams, own: TensorStatistics) -> NDArray[np.float32]:
    """float32 [C]; 0 where nothing is above zero."""
    lost = own.mean - params.expected_value(own.histogram, own.anchor.astype(np.float64))
    share, smallest = _above_zero(params, own)
    shift = lost / np.maximum(share, 1e-30)
    return np.where(share > 0, np.clip(shift, -smallest, smallest), 0).astype(np.float32)


def _above_zero(params: StaticParams, own: TensorStatistics) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(q(y) > 0), values taken as evenly spread within a bin, and the smallest q(y) > 0 of a channel; float64 [C]."""
    edges = bin_edges() * own.anchor[:, None].astype(np.float64)
    inside = (np.arange(PLACES) + 0.5) / PLACES
    places = edges[:, :-1, None] + np.diff(edges)[..., None] * inside
    values = params.fake_quantize(places.reshape(1, len(edges), -1).astype(np.float32), axis=1)[0]
    values = values.reshape(len(edges), BINS, PLACES).astype(np.float64)
    share = (values > 0).mean(axis=2)
    share[:, HALF] = 0  # there are hardly any but zeros in the bin at zero
    smallest = np.where(values > 0, values, np.inf).min(axis=(1, 2))
    return (own.histogram * share).sum(axis=1) / max(own.count, 1), np.where(np.isfinite(smallest), smallest, 0)
