"""Inputs of networks that are ready: arrays in files, or what a function yields. A part of ``data``.

Each file, and each value that the function yields, is a batch as it is: an array, or arrays by the names of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onnxq.core.feeds import Feed, Given, as_batch
from onnxq.core.given import imported, is_given
from onnxq.core.npz import opened
from onnxq.data.datasets.folder import has_images
from onnxq.data.loader import Batch, choose
from onnxq.errors import OnnxqError, first_line

MOST_BYTES = 2**32  # of an array
SUFFIXES = (".npy", ".npz")
UNKNOWN = 0  # how many batches a function will yield


@dataclass(frozen=True)
class FeedFiles:
    """Batches in files of arrays.

    Attributes:
        name: of the folder or file. paths: .npy and .npz files, in order.
    """

    name: str
    paths: Sequence[Path]

    class_count = 0

    def __len__(self) -> int:
        return len(self.paths)

    def feeds(self, indices: Sequence[int]) -> Iterator[Given]:
        """The batches of these files.

        Raises:
            OnnxqError: a file cannot be read, or holds something else.
        """
        return (read_feed(self.paths[index]) for index in indices)


@dataclass(frozen=True)
class FeedFunction:
    """Batches that a function yields, called anew for each pass."""

    name: str
    function: Callable[[], Iterable[Given]]

    class_count = 0

    def __len__(self) -> int:
        return UNKNOWN

    def feeds(self, indices: Sequence[int]) -> Iterator[Given]:
        """All that it yields.

        Raises:
            OnnxqError: the function fails, or yields something else.
        """
        try:
            yield from self.function()
        except OnnxqError:
            raise
        except (Exception, SystemExit) as error:  # of somebody else's program
            raise OnnxqError(f"{self.name}: {type(error).__name__}: {first_line(error)}") from error


@dataclass
class FeedLoader:
    """An iterable of batches that are ready, in the place of a ``Loader``.

    Attributes:
        dataset: where they come from. indices: which files, in this order.
        batch_size: images; larger arrays are cut. most: images; None for all.
        expected: how many images there are likely to be, 0 where that is not known.
        skipped: nothing ever is.
    """

    dataset: FeedFiles | FeedFunction
    indices: Sequence[int]
    batch_size: int
    most: int | None = None
    expected: int = UNKNOWN
    skipped: list[str] = field(default_factory=list)

    applied = None  # they are taken as they are

    @staticmethod
    def of(dataset: FeedFiles | FeedFunction, count: int | None, batch_size: int) -> FeedLoader:
        """So many images, spread over the files, which are taken to hold as many as the first one; None for all."""
        if not len(dataset):
            return FeedLoader(dataset, (), batch_size, count)
        each = max(len(as_batch(next(iter(dataset.feeds([0]))))), 1)
        files = choose(len(dataset), None if count is None else -(-count // each))
        expected = len(files) * each
        return FeedLoader(dataset, files, batch_size, count, min(expected, count or expected))

    def __len__(self) -> int:
        """Number of images, as far as it is known."""
        return self.expected

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in order."""
        seen = 0
        for given in self.dataset.feeds(self.indices):
            whole = as_batch(given)
            for start in range(0, len(whole), self.batch_size):
                batch = whole[start : start + self.batch_size]
                if self.most is not None and seen >= self.most:
                    return
                if self.most is not None and seen + len(batch) > self.most:
                    batch = batch[: self.most - seen]
                seen += len(batch)
                yield Batch(batch, None)

    @property
    def images(self) -> FeedLoader._Images:
        """The batches alone, which can be gone through several times."""
        return FeedLoader._Images(self)

    @dataclass(frozen=True)
    class _Images:
        loader: FeedLoader

        def __len__(self) -> int:
            return len(self.loader)

        def __iter__(self) -> Iterator[Given]:
            return (batch.images for batch in self.loader)


def open_feeds(spec: str) -> FeedFiles | FeedFunction | None:
    """What ``--data`` names, if it is of batches that are ready: a folder of .npy and .npz files, an .npy file, an .npz
    file without images and labels, or ``module.py:function``, whose file is executed.

    Raises:
        OnnxqError: it cannot be opened.
    """
    path = Path(spec)
    if is_given(spec):
        return FeedFunction(spec, imported(spec, "data"))
    if path.is_dir():
        try:
            entries = sorted(path.iterdir())
        except OSError as error:
            raise OnnxqError(f"{path}: cannot be read: {error.strerror}") from error
        paths = [each for each in entries if each.suffix in SUFFIXES]
        others = has_images(path) or any(each.is_dir() and has_images(each) for each in entries)
        return FeedFiles(spec, paths) if paths and not others else None
    if path.suffix == ".npz" and path.is_file():
        with opened(path, "an .npz file of arrays") as file:
            return None if "images" in file and "labels" in file else FeedFiles(spec, [path])
    return FeedFiles(spec, [path]) if path.suffix == ".npy" else None


def read_feed(path: Path) -> Given:
    """The array of an .npy file, or those of an .npz file by name.

    Raises:
        OnnxqError: it cannot be read.
    """
    if path.suffix == ".npz":
        with opened(path, "an .npz file of arrays by the names of inputs") as file:
            return Feed({name: file.read(name, MOST_BYTES) for name in file.names})
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a size that is claimed takes no memory
        return np.array(array)
    except FileNotFoundError as error:
        raise OnnxqError(f"{path}: no such file") from error
    except Exception as error:  # of damaged files, of many kinds
        raise OnnxqError(f"{path}: not an .npy file, or a damaged one ({first_line(error)})") from error
