"""A .npz file of arrays: ``images`` and ``labels``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.core.npz import opened
from onnxq.data.datasets.base import Dataset
from onnxq.errors import OnnxqError

MOST_LABELS = 2**27  # bytes
MOST_BYTES = 2**32  # of an array, since all of it is held in memory


def is_ready(dataset: Dataset) -> bool:
    """Whether its images are what a network takes, and are not preprocessed."""
    return isinstance(dataset, Arrays) and dataset.ready


class Arrays:
    """Images uint8 [N, H, W, 3] (preprocessed like files) or float32 [N, C, H, W] (taken as they are).

    Raises:
        OnnxqError: the file is missing or has other contents.
    """

    in_memory = True

    def __init__(self, path: Path) -> None:
        with opened(path, "an .npz file with arrays 'images' and 'labels'") as file:
            self._images, self._labels = file.read("images", MOST_BYTES), file.read("labels", MOST_LABELS)
        pixels = self._images.dtype == np.uint8 and self._images.ndim == 4 and self._images.shape[3] in (1, 3)
        self.ready = self._images.dtype == np.float32 and self._images.ndim == 4  # needs no preprocessing
        if not (pixels or self.ready):
            raise OnnxqError(f"{path}: 'images' must be uint8 [N, H, W, 3] or float32 [N, C, H, W]")
        if self._labels.shape != self._images.shape[:1] or not np.issubdtype(self._labels.dtype, np.integer):
            raise OnnxqError(f"{path}: 'labels' must be integers [N], one for each image")
        if 0 in self._images.shape:
            raise OnnxqError(f"{path}: no images, or images without pixels: {list(self._images.shape)}")
        if self._labels.max() >= 2**31:
            raise OnnxqError(f"{path}: a label is {self._labels.max()}: labels are numbers of classes")
        if self._labels.min() < 0:
            raise OnnxqError(f"{path}: a label is negative")
        self.name = str(path)
        self.class_count = int(self._labels.max()) + 1

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, index: int) -> int:
        return int(self._labels[index])

    def image(self, index: int) -> Image.Image | NDArray[np.float32]:
        if self.ready:
            ready: NDArray[np.float32] = self._images[index]
            return ready
        pixels = self._images[index]
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def stamp(self, index: int) -> None:
        return None
