"""Batches of preprocessed images, decoded by threads ahead of their use and in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxq.datasets.base import BadImageError, Dataset
from onnxq.errors import OnnxqError
from onnxq.preprocessing import Preprocessing

AHEAD = 3  # batches in preparation while one is in use


@dataclass(frozen=True)
class Batch:
    """Images float32 [N, C, H, W] and labels int64 [N]."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def choose(length: int, count: int | None) -> Sequence[int]:
    """``count`` indices spread evenly over 0 .. length - 1, or all: every class of a sorted folder has its share."""
    if count is None or count >= length:
        return range(length)
    return [int(position) for position in (np.arange(count) * length) // count]


@dataclass
class Loader:
    """An iterable of batches.

    Attributes:
        dataset, preprocessing: where images come from and what is done to them.
        indices: which images, in this order.
        batch_size: images a batch; the last one may be smaller.
        skip_bad_images: leave out images that cannot be decoded instead of raising.
        skipped: messages about those left out, filled while iterating.
    """

    dataset: Dataset
    preprocessing: Preprocessing
    indices: Sequence[int]
    batch_size: int = 32
    skip_bad_images: bool = False
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order.

        Raises:
            OnnxqError: an image cannot be decoded, or does not have the size of the others.
        """
        self.skipped.clear()
        groups = iter(
            [self.indices[start : start + self.batch_size] for start in range(0, len(self.indices), self.batch_size)]
        )
        pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        pending: deque[list[Future[NDArray[np.float32] | str]]] = deque()
        owners: deque[Sequence[int]] = deque()
        try:
            while True:
                while len(pending) < AHEAD and (group := next(groups, None)) is not None:
                    pending.append([pool.submit(self._prepare, index) for index in group])
                    owners.append(group)
                if not pending:
                    return
                batch = self._assemble(owners.popleft(), [future.result() for future in pending.popleft()])
                if batch is not None:
                    yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, index: int) -> NDArray[np.float32] | str:
        """An image float32 [C, H, W], or why it cannot be had."""
        try:
            image = self.dataset.image(index)
            if isinstance(image, np.ndarray):
                return image
            return self.preprocessing.normalize(self.preprocessing.pixels(image)[None])[0]
        except BadImageError as error:
            return str(error)

    def _assemble(self, group: Sequence[int], results: list[NDArray[np.float32] | str]) -> Batch | None:
        bad = [result for result in results if isinstance(result, str)]
        if bad and not self.skip_bad_images:
            raise OnnxqError(f"{bad[0]}; leave such images out with --skip-bad-images")
        self.skipped.extend(bad)
        good = [
            (result, self.dataset.label(index))
            for index, result in zip(group, results, strict=True)
            if not isinstance(result, str)
        ]
        if not good:
            return None
        shapes = sorted({image.shape for image, _ in good})
        if len(shapes) > 1:
            raise OnnxqError(
                f"images of {self.dataset.name} differ in size, {shapes[0][1:]} and {shapes[-1][1:]}; "
                "the model's preprocessing has no resize and crop, choose one with --preset"
            )
        return Batch(np.stack([image for image, _ in good]), np.array([label for _, label in good], np.int64))
