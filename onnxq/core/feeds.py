"""What a network reads at once: an array of images, or all its inputs by name. A ground type.

Given by whoever has the data; ``runtime`` hands it to sessions. Axis 0 of each array are the images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError

Array = NDArray[Any]


@dataclass(frozen=True)
class Feed:
    """The inputs of a network, by name. It is indexed as an array of images is.

    Raises:
        OnnxqError: arrays differ in the number of images, or are none.
    """

    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        if not self.arrays or not all(isinstance(array, np.ndarray) and array.ndim for array in self.arrays.values()):
            raise OnnxqError("a batch must be an array, or arrays by name, each [N, ...]")
        if len({len(array) for array in self.arrays.values()}) > 1:
            sizes = ", ".join(f"{name} {list(array.shape)}" for name, array in self.arrays.items())
            raise OnnxqError(f"the inputs of a batch differ in their first axis, the number of images: {sizes}")

    def __len__(self) -> int:
        """How many images."""
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: Any) -> Feed:
        """Of some images: a slice, or a mask."""
        return Feed({name: array[index] for name, array in self.arrays.items()})

    def copy(self) -> Feed:
        """In memory of its own."""
        return Feed({name: array.copy() for name, array in self.arrays.items()})


Batch = NDArray[np.float32] | Feed
Given = NDArray[np.float32] | Mapping[str, Array] | Feed
Batches = Iterable[Given]


def as_batch(given: Given) -> Batch:
    """What was given, as the stages pass it on.

    Raises:
        OnnxqError: it is something else than an array of float32 in this machine's byte order, or arrays by name.
    """
    if isinstance(given, Feed):
        return given
    if isinstance(given, Mapping):
        return Feed(given)
    if isinstance(given, np.ndarray) and not given.ndim:
        raise OnnxqError("images must be arrays of float32 [N, C, H, W], not a single number")
    if not isinstance(given, np.ndarray) or given.dtype != np.dtype(np.float32):
        kind = getattr(given, "dtype", type(given).__name__)
        raise OnnxqError(f"images must be arrays of float32 [N, C, H, W] in this machine's byte order, not {kind}")
    return given


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch after the other, as one.

    Raises:
        OnnxqError: their images differ in size, or in their inputs.
    """
    if len(batches) == 1:
        return batches[0]
    try:
        first = batches[0]
        if isinstance(first, Feed):
            feeds = [batch.arrays for batch in batches if isinstance(batch, Feed)]
            return Feed({name: np.concatenate([feed[name] for feed in feeds]) for name in first.arrays})
        return np.concatenate([batch for batch in batches if not isinstance(batch, Feed)])
    except (ValueError, KeyError) as error:
        raise OnnxqError(
            "batches of images of different sizes cannot be joined, as matching outputs and learning scales need: "
            "leave these `steps` out"
        ) from error


def is_finite(batch: Batch) -> bool:
    """Whether no value is NaN or infinite."""
    arrays = batch.arrays.values() if isinstance(batch, Feed) else [batch]
    return all(bool(np.isfinite(array).all()) for array in arrays if array.dtype.kind == "f")
