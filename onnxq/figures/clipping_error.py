"""Squared error against the clipping value, with the optimum that ACIQ chooses. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxq.core.aciq import gauss_error, gauss_multiplier, laplace_error, laplace_multiplier
from onnxq.figures.base import FIGURES, Figure

DENSITIES = (
    ("Laplace(0, b)", "alpha / b", "b", laplace_error, laplace_multiplier, 12.0),
    ("Normal(0, sigma)", "alpha / sigma", "sigma", gauss_error, gauss_multiplier, 6.0),
)


@FIGURES.register("clipping-error")
@dataclass(frozen=True)
class ClippingError(Figure):
    """Banner et al. 2019, figure 1: clipping error falls, rounding error rises."""

    bits: tuple[int, ...] = (2, 3, 4)

    @property
    def panels(self) -> int:
        """A density each."""
        return len(DENSITIES)

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        for panel, (name, label, unit, error, optimum, end) in zip(axes, DENSITIES, strict=True):
            alphas = np.linspace(end / 100, end, 400)
            for bits in self.bits:
                line = panel.semilogy(alphas, [error(alpha, bits) for alpha in alphas], label=f"{bits} bits")[0]
                best = optimum(bits)
                panel.plot(best, error(best, bits), "o", color=line.get_color())
                text = f"{best:.2f}"
                panel.annotate(text, (best, error(best, bits)), (0, -13), textcoords="offset points", ha="center")
            panel.set(
                title=f"Squared error, {name}",
                xlabel=f"clipping value {label}",
                ylabel=f"E(x - q(x))\u00b2 / {unit}\u00b2",
            )
            panel.legend()
            panel.margins(y=0.1)
