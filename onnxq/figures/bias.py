"""Mean and standard deviation of quantized weights by channel, before and after correction. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.decide.weights import quantize_alone
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

    @property
    def panels(self) -> int:
        """Mean, standard deviation."""
        return 2

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        layer = chosen_layer(paths, self.layer)
        bits = self.widths(4)[0]
        rows = layer.weight.reshape(layer.channels, -1).astype(np.float64)
        mean, spread = rows.mean(axis=1), np.maximum(rows.std(axis=1), ROOM)
        for correction in CORRECTIONS:
            options = {} if self.format == "affine" else {"weights": self.format}
            recipe = Recipe.of(
                weight_bits=bits, act_bits=None, bit_alloc="none", weight_correction=correction, **options
            )
            values = quantize_alone(layer.weight, recipe).dequantized().reshape(rows.shape).astype(np.float64)
            label = "as rounded" if correction == "none" else f"{correction} restored"
            axes[0].plot((values.mean(axis=1) - mean) / spread, ".", markersize=4, label=label)
            axes[1].plot(values.std(axis=1) / spread, ".", markersize=4, label=label)
        axes[0].set(title=f"{layer.weight_name}, {bits} bits: mean", ylabel="(quantized - float) / sigma")
        axes[1].set(title="standard deviation", ylabel="quantized / float")
        for panel in axes:
            panel.set_xlabel("output channel")
            panel.legend()
