"""Run an iterator ahead of its use. A part of ``data``."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Generator[Item, None, None], depth: int) -> Iterator[Item]:
    """The items in their order; a thread makes up to ``depth`` of them while one is in use.

    An error in ``items`` is raised here, where its item would have come. ``items`` is closed at the end.
    """
    thread = ThreadPoolExecutor(max_workers=1)
    try:
        pending = deque(thread.submit(next, items, None) for _ in range(depth))
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, items, None))
            yield item
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        items.close()
