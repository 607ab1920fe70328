"""What tables, files and figures of results share: which of them are best, and what JSON can hold. A ground module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path


def pareto_front(costs: Sequence[float], values: Sequence[float], *, more_is_better: bool = False) -> list[int]:
    """Places of those that no other beats in value at the same cost or less, cheapest first.

    Args:
        more_is_better: of the costs, as of speeds.

    >>> pareto_front([10, 20, 30, 40], [70, 60, 80, 80])
    [0, 2]
    """
    sign = -1 if more_is_better else 1
    best, found = float("-inf"), []
    for place in sorted(range(len(costs)), key=lambda place: (sign * costs[place], -values[place])):
        if values[place] > best:
            best = values[place]
            found.append(place)
    return found


def plain(content: object) -> object:
    """What JSON can hold: numbers that are not finite as text ("inf", "-inf", "nan"), paths as text."""
    if isinstance(content, float):
        return content if math.isfinite(content) else str(content)
    if isinstance(content, dict):
        return {str(name): plain(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    return str(content) if isinstance(content, Path) else content
