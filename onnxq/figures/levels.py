"""Level sets: additive powers of two, plain ones, equal steps. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnxq.figures.base import COLOURS, FIGURES, Figure
from onnxq.formats.powers_of_two import LevelSet, additive_levels, even_levels, levels_of, power_levels

SETS: tuple[tuple[str, LevelSet], ...] = (
    ("additive powers of two", additive_levels),
    ("powers of two", power_levels),
    ("equal steps", even_levels),
)


@FIGURES.register("levels")
@dataclass(frozen=True)
class LevelSets(Figure):
    """Signed levels (Li et al. 2020, figure 1)."""

    bits: tuple[int, ...] = (3, 4)

    @property
    def panels(self) -> int:
        """A width each."""
        return len(self.bits)

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        for panel, bits in zip(axes, self.bits, strict=True):
            for place, ((_, build), colour) in enumerate(zip(SETS, COLOURS, strict=False)):
                levels = levels_of(build, bits, True)
                panel.eventplot([levels], lineoffsets=-place, linelengths=0.7, colors=colour)
            panel.set(title=f"Weights of {bits} bits", xlabel="level / threshold", xlim=(-1.05, 1.05))
            panel.set_yticks([-place for place in range(len(SETS))], [name for name, _ in SETS])
            panel.grid(axis="y", visible=False)
