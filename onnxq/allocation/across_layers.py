"""One choice for each layer, of smallest total effect within a capacity: the knapsack of several choices, by dynamic
programming over the capacity. A part of ``allocation``, called by ``refine``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
STEPS = 100_000  # that the capacity is divided into: of a smaller one each unit counts


def cheapest(effects: Sequence[FloatArray], sizes: Sequence[NDArray[np.int64]], capacity: int) -> list[int] | None:
    """The index of a choice for each layer; None where not even the smallest fit.

    Exact for sizes in units of capacity / 100,000, rounded up: the sum never exceeds the capacity.

    Args:
        effects: of each layer the effect of each choice. sizes: likewise what it takes of the capacity.

    >>> cheapest([np.array([4.0, 1.0]), np.array([9.0, 2.0])], [np.array([1, 2]), np.array([1, 2])], 3)
    [0, 1]
    """
    if capacity < 0:
        return None
    unit = max(capacity / STEPS, 1.0)
    room = int(capacity / unit)
    units = [np.ceil(own / unit).astype(np.int64) for own in sizes]
    best = np.zeros(room + 1)  # the smallest effect of the layers so far, within 0 .. room
    taken: list[NDArray[np.int8]] = []
    for own, taking in zip(effects, units, strict=True):
        table = np.full((len(own), room + 1), np.inf)
        for choice, (effect, size) in enumerate(zip(own, taking, strict=True)):
            if size <= room:
                table[choice, size:] = best[: room + 1 - size] + effect
        taken.append(table.argmin(axis=0).astype(np.int8))
        best = table.min(axis=0)
    if not np.isfinite(best[room]):
        return None
    found: list[int] = []
    place = room
    for chosen, taking in zip(reversed(taken), reversed(units), strict=True):
        found.append(int(chosen[place]))
        place -= int(taking[found[-1]])
    return found[::-1]
