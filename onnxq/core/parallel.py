"""Work on several cores. A ground function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 8  # each has intermediates of its own

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of all items, in their order; one item runs where the caller does."""
    tasks = list(items)
    if len(tasks) < 2:
        return [function(item) for item in tasks]
    with ThreadPoolExecutor(min(len(tasks), os.cpu_count() or 1, MOST_THREADS)) as pool:
        return list(pool.map(function, tasks))
