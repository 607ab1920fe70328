"""The weights of a layer, and the levels that they are brought to. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.decide.weights import quantize_alone
from onnxq.errors import OnnxqError
from onnxq.figures.base import COLOURS, FIGURES, Figure
from onnxq.figures.layer_weights import chosen_layer
from onnxq.recipe import Recipe


@FIGURES.register("weights")
@dataclass(frozen=True)
class WeightsAndLevels(Figure):
    """A histogram of the weights, with the levels of one range for all of them."""

    inputs: ClassVar[str] = "a float model"

    bits: tuple[int, ...] = (4,)
    layer: str | None = None
    weights: str = "uniform"

    @property
    def panels(self) -> int:
        """A width each."""
        return len(self.bits)

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        layer = chosen_layer(paths, self.layer)
        values = layer.weight.ravel()
        for panel, bits in zip(axes, self.bits, strict=True):
            recipe = self._recipe(bits)
            levels = np.unique(quantize_alone(layer.weight, recipe).dequantized())
            panel.hist(values, bins=200, color=COLOURS[0], alpha=0.6, log=True)
            for level in levels:
                panel.axvline(level, color=COLOURS[1], linewidth=0.8)
            title = f"{layer.weight_name}: {self.weights}, {bits} bits, {len(levels)} levels used"
            panel.set(title=title, xlabel="weight", ylabel="how many")

    def _recipe(self, bits: int) -> Recipe:
        try:
            return Recipe.of(
                weights=self.weights,
                weight_bits=bits,
                act_bits=None,
                weight_granularity="per-tensor",
                bit_alloc="none",
                weight_correction="none",
            )
        except OnnxqError as error:
            raise OnnxqError(
                f"`weights` {self.weights}: no levels for a tensor as a whole can be drawn ({error})"
            ) from error
