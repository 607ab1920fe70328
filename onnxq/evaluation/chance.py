"""How much of what metrics say is chance: counts of batches, and what they say with some left out.

A part of ``evaluation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import opened, take_batch
from onnxq.evaluation.metrics import Chosen
from onnxq.evaluation.shards import Counted

GROUPS = 64  # at most: some metrics take a second to say what they counted
Part = TypeVar("Part")


def counted_by_batch(
    paths: Sequence[Path],
    batches: Iterable[Batch],
    metrics: Sequence[Chosen],
    provider: str,
    progress: Callable[[int], None] | None = None,
) -> list[Counted]:
    """As ``evaluate``, each batch by itself."""
    tallies = opened(paths, metrics, provider)
    parts: list[Counted] = []
    images = 0
    for batch in batches:
        for tally in tallies:
            tally.begin()
        count = take_batch(tallies, batch, images)
        parts.append(Counted.of(tallies, count))
        images += count
        if progress:
            progress(count)
    return parts


def standard_error(parts: Sequence[Part], value: Callable[[list[Part]], float], sizes: Sequence[int]) -> float:
    """Of what a function says of all parts, from what it says with each of them left out in turn.

    The delete-a-group jackknife for groups of different sizes (Busing, Meijer, van der Leeden 1999). Many parts are
    taken in groups, each spread over all. Groups without which nothing can be said are passed over.

    Args:
        sizes: of the parts, in images.

    Returns:
        0 where there is one part: nothing is known.
    """
    count = min(len(parts), GROUPS)
    if count < 2:
        return 0.0
    whole, images = value(list(parts)), sum(sizes)
    found = []
    for group in range(count):
        try:
            without = value([part for place, part in enumerate(parts) if place % count != group])
        except OnnxqError:  # the metric makes no sense of the rest
            continue
        if np.isfinite(without):
            found.append((images / sum(sizes[group::count]), without))
    if len(found) < 2:
        return 0.0
    ratios, values = np.array(found).T
    centre = len(found) * whole - np.sum((1 - 1 / ratios) * values)
    pseudo = ratios * whole - (ratios - 1) * values
    return float(np.sqrt(np.mean((pseudo - centre) ** 2 / (ratios - 1))))
