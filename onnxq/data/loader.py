"""Batches of preprocessed images, made ahead of their use and in order. A part of ``data``."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.feeds import Given
from onnxq.data.annotations.annotated import AnnotatedImages, Truth
from onnxq.data.datasets.arrays import is_ready
from onnxq.data.datasets.base import Dataset
from onnxq.data.decoding import Decoded, decoded
from onnxq.data.image_cache import cache_path, cached
from onnxq.data.prefetch import ahead
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError

BATCH_SIZE = 16  # of images, where nothing says otherwise
READY = 2  # batches that wait while one is in use


Labels = NDArray[np.int64] | tuple[Truth, ...]


@dataclass(frozen=True)
class Batch:
    """Images float32 [N, C, H, W], or all inputs of a network by name, and what is known of them.

    Attributes:
        labels: classes int64 [N], or an annotation of each image; None without any.
    """

    images: Given
    labels: Labels | None


@dataclass(frozen=True)
class Images:
    """The images of a loader, float32 [N, C, H, W] a batch; decoded anew whenever they are gone through."""

    loader: Loader

    def __len__(self) -> int:
        """Number of images."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Given]:
        """Yield batches in order; raises what the loader raises."""
        return (batch.images for batch in self.loader)


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
        workers: processes that decode images; 0 takes threads of this process. A script that asks for processes must
            guard its own start by ``if __name__ == "__main__"``.
        cache: a folder to keep decoded images in, for the next pass over the same ones.
        pinned: make batches in page-locked memory, which a GPU copies faster.
        skipped: messages about those left out, filled while iterating.
    """

    dataset: Dataset
    preprocessing: Preprocessing
    indices: Sequence[int]
    batch_size: int = BATCH_SIZE
    skip_bad_images: bool = False
    workers: int = 0
    cache: Path | None = None
    pinned: bool = False
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.indices)

    @property
    def applied(self) -> Preprocessing | None:
        """What is done to images; None of arrays that are ready."""
        return None if is_ready(self.dataset) else self.preprocessing

    @property
    def images(self) -> Images:
        """The images without their labels: for ``calibrate``, and for ``quantize``, which may go through them twice."""
        return Images(self)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order.

        Raises:
            OnnxqError: an image cannot be decoded, or its size is not that of the others; the cache cannot be written.
        """
        self.skipped.clear()
        return ahead(self._batches(), READY)

    def _batches(self) -> Generator[Batch, None, None]:
        groups = [
            self.indices[start : start + self.batch_size] for start in range(0, len(self.indices), self.batch_size)
        ]
        with closing(self._images(groups)) as images:
            for group, results in zip(groups, images, strict=True):
                batch = self._assemble(group, results)
                if batch is not None:
                    yield batch

    def _images(self, groups: Sequence[Sequence[int]]) -> Generator[list[Decoded], None, None]:
        workers = 0 if self.dataset.in_memory else self.workers
        decode = partial(decoded, self.dataset, self.preprocessing, groups, workers)
        if self.cache is None or len(self.indices) == 0 or self.dataset.stamp(self.indices[0]) is None:
            return decode()
        return cached(cache_path(self.cache, self.dataset, self.preprocessing, self.indices), groups, decode)

    def _assemble(self, group: Sequence[int], results: list[Decoded]) -> Batch | None:
        bad = [result for result in results if isinstance(result, str)]
        if bad and not self.skip_bad_images:
            raise OnnxqError(f"{bad[0]}; leave such images out with `skip_bad_images`")
        self.skipped.extend(bad)
        good = [(result, index) for index, result in zip(group, results, strict=True) if not isinstance(result, str)]
        if not good:
            return None
        shapes = sorted({image.shape for image, _ in good})
        if len(shapes) > 1:
            raise OnnxqError(
                f"images of {self.dataset.name} differ in size, {shapes[0][:2]} and {shapes[-1][:2]}; "
                "the model's preprocessing has no resize and crop: choose one with `preset`, or a `batch_size` of 1"
            )
        return Batch(self._array([image for image, _ in good]), self._labels([index for _, index in good]))

    def _labels(self, indices: Sequence[int]) -> Labels | None:
        if isinstance(self.dataset, AnnotatedImages):
            return tuple(self.dataset.truth(index, self.preprocessing) for index in indices)
        if not self.dataset.class_count:
            return None
        return np.array([self.dataset.label(index) for index in indices], np.int64)

    def _array(self, images: list[NDArray[Any]]) -> NDArray[np.float32]:
        """Images of one shape as float32 [N, C, H, W], or as the preprocessing has them."""
        if images[0].dtype != np.uint8:  # ready for the model
            return np.stack(images)
        height, width, channels = images[0].shape
        array = empty((len(images), channels, height, width), pinned=self.pinned)
        for pixels, place in zip(images, array, strict=True):
            self.preprocessing.normalize(pixels, place)
        return array if self.preprocessing.layout == "nchw" else np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def empty(shape: tuple[int, ...], *, pinned: bool) -> NDArray[np.float32]:
    """Uninitialized memory; ``pinned``: that a GPU can fetch without a copy by the processor."""
    if pinned and find_spec("torch") is not None:
        import torch  # it keeps such memory for the next batch: to get it from the driver takes milliseconds

        if torch.cuda.is_available():  # else ONNX Runtime may have found no GPU either, and run on the CPU
            array: NDArray[np.float32] = torch.empty(shape, dtype=torch.float32, pin_memory=True).numpy()
            return array
    return np.empty(shape, np.float32)
