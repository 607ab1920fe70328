"""Mean and standard deviation of quantized weights by channel, before and after correction. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.decide.weights import quantize_alone
from onnxq.errors import OnnxqError
from onnxq.figures.base import FIGURES, Figure
from onnxq.figures.layer_weights import chosen_layer
from onnxq.recipe import Recipe

CORRECTIONS = ("none", "mean", "mean-variance")
ROOM = 1e-12  # of a deviation that divides


@FIGURES.register("bias")
@dataclass(frozen=True)
class Bias(Figure):
    """What quantization does to the mean and the spread of each output channel (Banner et al. 2019, section 4.2)."""

    inputs: ClassVar[str] = "a float model"

    bits: tuple[int, ...] = (4,)
    layer: str | None = None
    weights: str = "uniform"

    @property
    def panels(self) -> int:
        """Mean and standard deviation, for each width."""
        return 2 * len(self.bits)

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        layer = chosen_layer(paths, self.layer)
        rows = layer.weight.reshape(layer.channels, -1).astype(np.float64)
        mean, spread = rows.mean(axis=1), np.maximum(rows.std(axis=1), ROOM)
        for place, bits in enumerate(self.bits):
            means, spreads = axes[2 * place : 2 * place + 2]
            for correction in CORRECTIONS:
                recipe = self._recipe(bits, correction)
                if recipe is None:
                    continue
                values = quantize_alone(layer.weight, recipe).dequantized().reshape(rows.shape).astype(np.float64)
                label = "as rounded" if correction == "none" else f"{correction} restored"
                means.plot((values.mean(axis=1) - mean) / spread, ".", markersize=4, label=label)
                spreads.plot(values.std(axis=1) / spread, ".", markersize=4, label=label)
            means.set(title=f"{layer.weight_name}, {bits} bits: mean", ylabel="(quantized - float) / sigma")
            spreads.set(title="standard deviation", ylabel="quantized / float")
        for panel in axes:
            panel.set_xlabel("output channel")
            panel.legend()

    def _recipe(self, bits: int, correction: str) -> Recipe | None:
        """None where a format keeps weights on a grid that no correction leaves."""
        try:
            return Recipe.of(
                weights=self.weights, weight_bits=bits, act_bits=None, bit_alloc="none", weight_correction=correction
            )
        except OnnxqError:
            if correction == "none":
                raise
            return None
