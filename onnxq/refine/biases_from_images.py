"""Correct biases by what quantization shifts in the mean output of each layer, measured on images. A refinement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.plan import Plan
from onnxq.errors import OnnxqError
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import POINTS, Points
from onnxq.recipe.steps import STEPS
from onnxq.refine.insert_twins import insert_twins
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.rewrite import carry_out
from onnxq.runtime.batches import finite_outputs
from onnxq.runtime.graph_session import graph_session

FloatArray = NDArray[np.float64]


@STEPS.register("correct-biases-on-images")
@dataclass(frozen=True)
class CorrectBiasesOnImages(Refinement):
    """Measure each layer beside its quantized twin, both on the activations of the float network.

    Not on those of the quantized one: there, what a layer shifts shows up in all that follow, and correcting it in each
    of them would correct it many times (measured: that destroys the network).
    """

    passes: ClassVar[int] = 1

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """It needs quantizers that only layers read."""
        if POINTS.name_of(points) == "inputs":
            return []
        return ["`bias_correction` images goes with quantizers at inputs"]

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        return draft.with_biases(measured_shift(draft, images, run))


def measured_shift(draft: Draft, images: Images, run: Run) -> dict[str, FloatArray]:
    """E[float output] - E[quantized output] of each output channel, by layer, float64 [C].

    Raises:
        OnnxqError: the images do not fit the model, make NaN of it, or there are none.
    """
    measuring = draft.graph.copy()
    twins, outputs = insert_twins(measuring, draft.plan.layers)
    carry_out(measuring, _of_twins(draft.plan, twins))
    session = graph_session(measuring, draft.source, run.provider)
    total = [np.zeros(1) for _ in outputs]
    count = 0
    for batch, means in finite_outputs(session, outputs, images, run.progress):
        total = [seen + mean.astype(np.float64) * len(batch) for seen, mean in zip(total, means, strict=True)]
        count += len(batch)
    if count == 0:
        raise OnnxqError("no images to correct biases on")
    return {name: shift / count for name, shift in zip(draft.plan.layers, total, strict=True)}


def _of_twins(plan: Plan, twins: list[str]) -> Plan:
    """The plan carried out on twins in the place of layers; their biases stay those of the float network."""
    twin_of = dict(zip(plan.layers, twins, strict=True))
    points = {
        name: replace(point, readers=tuple(twin_of[reader] for reader in point.readers if reader in twin_of))
        for name, point in plan.points.items()
    }
    return replace(plan, layers=tuple(twins), points=points, biases={}, rounded_parameters=None, exact_products=True)
