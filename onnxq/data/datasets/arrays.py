"""A .npz file of arrays: ``images`` and ``labels``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.core.files import UNREADABLE
from onnxq.errors import OnnxqError


class Arrays:
    """Images uint8 [N, H, W, 3] (preprocessed like files) or float32 [N, C, H, W] (taken as they are).

    Raises:
        OnnxqError: the file is missing or has other contents.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                self._images, self._labels = file["images"], file["labels"]
        except FileNotFoundError as error:
            raise OnnxqError(f"{path}: no such file") from error
        except UNREADABLE as error:
            raise OnnxqError(f"{path}: expected an .npz file with arrays 'images' and 'labels' ({error})") from error
        pixels = self._images.dtype == np.uint8 and self._images.ndim == 4 and self._images.shape[3] in (1, 3)
        self.ready = self._images.dtype == np.float32 and self._images.ndim == 4  # needs no preprocessing
        if not (pixels or self.ready):
            raise OnnxqError(f"{path}: 'images' must be uint8 [N, H, W, 3] or float32 [N, C, H, W]")
        if self._labels.shape != self._images.shape[:1] or not np.issubdtype(self._labels.dtype, np.integer):
            raise OnnxqError(f"{path}: 'labels' must be integers [N], one for each image")
        if not len(self._labels):
            raise OnnxqError(f"{path}: no images")
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
        return Image.fromarray(self._images[index].squeeze())

    def stamp(self, index: int) -> None:
        return None
