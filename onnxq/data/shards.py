"""Parts of the images of a loader, for workers to go through each by itself. A part of ``data``."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError


def shards(loader: Loader | FeedLoader, count: int) -> list[Loader]:
    """Up to ``count`` loaders of about as many images, in order: their batches are those of this one.

    Raises:
        OnnxqError: it has batches that are ready, which only who has them can go through.
    """
    if isinstance(loader, FeedLoader):
        problem = "arrays are not shared out between workers; give images, or no `engine`"
        raise OnnxqError(f"{loader.dataset.name}: {problem}")
    size = loader.batch_size
    batches = -(-len(loader.indices) // size)
    count = max(min(count, batches), 1)
    ends = [batches * number // count * size for number in range(count + 1)]
    return [replace(loader, indices=loader.indices[start:end], skipped=[]) for start, end in pairwise(ends)]
