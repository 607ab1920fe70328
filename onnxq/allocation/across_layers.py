"""One choice for each layer, of smallest total effect within a capacity: the knapsack of several choices, by dynamic
programming over the capacity. A part of ``allocation``, called by ``refine``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STEPS = 100_000  # that the capacity is divided into: of a smaller one each unit counts


@dataclass(frozen=True)
class Options:
    """What some layers can have, together.

    Attributes:
        costs, effects: of each option, int64 and float64 [n]. picks: which choices it stands for, int64 [n, k].
    """

    costs: IntArray
    effects: FloatArray
    picks: IntArray

    @staticmethod
    def of(costs: Sequence[int], effects: Sequence[float]) -> Options:
        """Of one layer, whose choices are numbered."""
        return Options(np.array(costs, np.int64), np.array(effects, float), np.arange(len(costs))[:, None]).best()

    def best(self) -> Options:
        """Without those that another one beats in cost and effect; cheapest first."""
        order = np.lexsort((self.effects, self.costs))
        effects = self.effects[order]
        smallest = np.minimum.accumulate(np.concatenate([[np.inf], effects[:-1]]))
        kept = order[effects < smallest]
        return Options(self.costs[kept], self.effects[kept], self.picks[kept])

    def with_each(self, other: Options) -> Options:
        """Every option of both, picks one behind the other."""
        costs = (self.costs[:, None] + other.costs).ravel()
        effects = (self.effects[:, None] + other.effects).ravel()
        one, two = np.divmod(np.arange(len(costs)), len(other.costs))
        return Options(costs, effects, np.hstack([self.picks[one], other.picks[two]])).best()


def any_of(several: Sequence[Options]) -> Options:
    """The options of all, of the same layers."""
    return Options(
        np.concatenate([each.costs for each in several]),
        np.concatenate([each.effects for each in several]),
        np.vstack([each.picks for each in several]),
    ).best()


def cheapest(effects: Sequence[FloatArray], sizes: Sequence[IntArray], capacity: int) -> list[int] | None:
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
    taken: list[NDArray[np.int32]] = []
    for own, taking in zip(effects, units, strict=True):
        least, places = np.full(room + 1, np.inf), np.zeros(room + 1, np.int32)
        for choice, (effect, size) in enumerate(zip(own, taking, strict=True)):
            if size <= room:
                total = best[: room + 1 - size] + effect
                better = total < least[size:]
                least[size:][better] = total[better]
                places[size:][better] = choice
        taken.append(places)
        best = least
    if not np.isfinite(best[room]):
        return None
    found: list[int] = []
    place = room
    for chosen, taking in zip(reversed(taken), reversed(units), strict=True):
        found.append(int(chosen[place]))
        place -= int(taking[found[-1]])
    return found[::-1]
