"""Bits by the published ACIQ system's loop, for comparison. A part of ``allocation``.

Widths are rounded one by one, and a search for the budget may not converge. Banner, Nahshan, Soudry, NeurIPS 2019, and
its released code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onnxq.allocation.base import ALLOCATIONS, MAX_BITS, Allocation, BitArray, FloatArray

ITERATIONS = 10
TOLERANCE = 0.01


def allocate(spread: FloatArray, bits: float, rounding: str = "round", *, search: bool = True) -> BitArray:
    """Widths by the published loop: rounded one by one, the target moved until their mean is near ``bits``.

    The mean may end above or below the goal: the last attempt is returned, converged or not.

    Args:
        spread: float64 [C]. bits: the goal. rounding: 'round' (half to even) or 'ceil'. search: False stops after the
            first attempt.

    Returns:
        int32 [C], 0 to 8.

    >>> allocate(np.array([1.0, 2.0, 4.0, 8.0]), 4, search=False)
    array([3, 3, 4, 5], dtype=int32)
    """
    share = spread ** (2 / 3)
    share = share / max(share.sum(), np.finfo(np.float64).tiny)

    def attempt(target: float) -> BitArray:
        with np.errstate(divide="ignore"):
            wish = np.log2(len(spread) * 2**target * share)
        return np.clip(np.rint(wish) if rounding == "round" else np.ceil(wish), 0, 8).astype(np.int32)

    target, delta = bits, 1.0
    widths = attempt(target)
    for _ in range(ITERATIONS if search else 0):
        if abs(2 * delta) <= TOLERANCE:
            break
        widths = attempt(target)
        delta = (bits - widths.mean()) / 2
        target += delta
    return widths


@ALLOCATIONS.register("published")
@dataclass(frozen=True)
class Published(Allocation):
    """``allocate``.

    Attributes:
        rounding: of each width, 'round' or 'ceil'.
        prior: what the spread of an activation is: 'gauss' takes sigma, 'laplace' b. (Weights: always sigma.)
    """

    rounding: str = "round"
    prior: str = "gauss"

    def problems(self) -> list[str]:
        """Whether both are known."""
        known = {"rounding": ("round", "ceil"), "prior": ("gauss", "laplace")}
        return [
            f"`published.{name}` must be {' or '.join(values)}, not {getattr(self, name)!r}"
            for name, values in known.items()
            if getattr(self, name) not in values
        ]

    @property
    def by_deviation(self) -> bool:
        """As ``Allocation.by_deviation``."""
        return self.prior == "laplace"

    def published(self) -> Allocation:
        """Itself."""
        return self

    def widths(
        self, spread: FloatArray, error: Callable[[], FloatArray], bits: float, most: int = MAX_BITS
    ) -> BitArray:
        """As ``Allocation.widths``; the mean is only near ``bits``."""
        return np.minimum(allocate(spread, bits, self.rounding), most)
