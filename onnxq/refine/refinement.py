"""What a refinement is. A part of ``refine``; the flow calls ``apply`` of each in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.feeds import Batches
from onnxq.core.layers import Layer
from onnxq.core.network import Network
from onnxq.core.plan import Plan
from onnxq.core.statistics import Statistics
from onnxq.recipe import Recipe
from onnxq.recipe.steps import Step

FloatArray = NDArray[np.float64]
Images = Batches  # preprocessed; they can be gone through several times


@dataclass(frozen=True)
class Draft:
    """A plan on its way, with what it is a plan of.

    Attributes:
        source: the float model. graph: the same, normalized; steps leave it as it is, and work on copies.
        network: its structure and layers. statistics: of calibration, if there are any.
        recipe: resolved. plan: what was decided so far. notes: what could not be done, a sentence each.
    """

    source: onnx.ModelProto
    graph: gs.Graph
    network: Network
    statistics: Statistics | None
    recipe: Recipe
    plan: Plan
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> list[Layer]:
        """The layers that are quantized, in execution order."""
        names = set(self.plan.layers)
        return [layer for layer in self.network.layers if layer.name in names]

    def bias(self, layer: Layer) -> NDArray[np.float32]:
        """The bias of a layer as planned so far, float32 [C]; zeros where it has none."""
        planned = self.plan.biases.get(layer.name, layer.bias)
        return np.zeros(layer.channels, np.float32) if planned is None else planned

    def with_biases(self, shifts: Mapping[str, FloatArray], gains: Mapping[str, FloatArray] | None = None) -> Draft:
        """bias * ``gains`` + ``shifts``, float64 [C] by layer, for each layer that ``shifts`` names.

        A layer whose bias the graph computes is left as it is, and named in a note.
        """
        biases, notes = dict(self.plan.biases), []
        for layer in self.layers:
            if layer.name not in shifts:
                continue
            if layer.computed_bias:
                notes.append(f"layer {layer.name}: its bias is computed by the graph and was not corrected")
                continue
            gain = gains[layer.name] if gains else 1.0
            biases[layer.name] = (self.bias(layer) * gain + shifts[layer.name]).astype(np.float32)
        return replace(self, plan=replace(self.plan, biases=biases), notes=(*self.notes, *notes))


@dataclass(frozen=True)
class Run:
    """How to run networks.

    Attributes:
        provider: 'auto', 'cpu' or 'cuda'. progress: called after each batch with the number of its images.
    """

    provider: str = "auto"
    progress: Callable[[int], None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Refinement(Step):
    """A step that works. Subclasses are frozen dataclasses, registered by ``STEPS.register(name)``.

    Attributes:
        judged: it is undone where it does not help.
    """

    judged: ClassVar[bool] = True

    def check_installed(self) -> None:
        """Find out before any work whether the packages that it needs are there.

        Raises:
            OnnxqError: one is not.
        """

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """A better draft.

        Args:
            images: empty where ``passes`` is 0.

        Raises:
            OnnxqError: the images do not fit the model, or there are none.
        """
        raise NotImplementedError
