"""What bits for each channel are worth, on drawn channels. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.allocation.by_spread import allocate_by_spread
from onnxq.core.aciq import laplace_error, laplace_multiplier
from onnxq.figures.base import FIGURES, Figure

BINS = 32  # of both channels together
SPREADS = (1.0, 2.0, 2.828, 4.0)  # of the second channel over the first
CHANNELS = 64
SEED = 0


@FIGURES.register("bit-allocation")
@dataclass(frozen=True)
class BitAllocation(Figure):
    """Two channels share their bins; many share their bits (Banner et al. 2019, section 4.1, equations 10 and 11)."""

    bits: tuple[int, ...] = (2, 3, 4)

    @property
    def panels(self) -> int:
        """Two channels, many channels."""
        return 2

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        shares = np.linspace(0.15, 0.85, 200)
        for spread in SPREADS:
            errors = np.array([_error(BINS * share) * spread**2 + _error(BINS * (1 - share)) for share in shares])
            line = axes[0].plot(shares, errors / errors.min(), label=f"sigma ratio {spread:g}")[0]
            rule = spread ** (2 / 3) / (1 + spread ** (2 / 3))
            axes[0].axvline(rule, color=line.get_color(), linestyle=":")
        axes[0].set(
            title=f"Two channels, {BINS} bins",
            xlabel="share of the wider channel (dotted: by sigma^(2/3))",
            ylabel="squared error / smallest",
            ylim=(0.95, 3),
        )
        axes[0].legend()
        ratios = np.linspace(0, 3, 13)  # standard deviation of log2 sigma
        unit = np.random.default_rng(SEED).normal(size=CHANNELS)
        for bits in self.bits:
            gains = [_gain(2.0 ** (ratio * unit), bits) for ratio in ratios]
            axes[1].plot(ratios, gains, marker="o", markersize=3, label=f"{bits} bits")
        axes[1].set(
            title=f"{CHANNELS} channels, allocated / fixed width",
            xlabel="standard deviation of log2(sigma) over channels",
            ylabel="squared error, allocated / fixed",
            ylim=(0, None),
        )
        axes[1].legend()


def _error(bins: float) -> float:
    bits = float(np.log2(bins))
    return laplace_error(laplace_multiplier(bits), bits)


def _gain(spread: NDArray[np.float64], bits: int) -> float:
    widths = allocate_by_spread(spread, bits)
    errors = [laplace_error(laplace_multiplier(int(width)), int(width)) if width else 2.0 for width in widths]
    return float((np.array(errors) * spread**2).sum() / (_error(2**bits) * (spread**2).sum()))
