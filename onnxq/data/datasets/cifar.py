"""CIFAR-10 and CIFAR-100 as their authors distribute them (the "python version" archives, unpacked)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.data.datasets.pickled import read_batch
from onnxq.errors import OnnxqError

_LAYOUT = {
    # name: (folder, test files, train files, key of the labels, classes)
    "cifar10": ("cifar-10-batches-py", ("test_batch",), tuple(f"data_batch_{i}" for i in range(1, 6)), "labels", 10),
    "cifar100": ("cifar-100-python", ("test",), ("train",), "fine_labels", 100),
}
PIXELS = 3 * 32 * 32  # of an image


class Cifar:
    """One of the two sets.

    Args:
        kind: 'cifar10' or 'cifar100'.
        root: the unpacked folder, or the folder that holds it.
        train: training images (for calibration) or test images.

    Raises:
        OnnxqError: files are missing or damaged.
    """

    in_memory = True

    def __init__(self, kind: str, root: Path, train: bool) -> None:
        folder, test_files, train_files, key, self.class_count = _LAYOUT[kind]
        base = root / folder if (root / folder).is_dir() else root
        self.name = f"{kind}:{root}"
        pixels: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for name in train_files if train else test_files:
            try:
                content = read_batch(base / name)
            except (FileNotFoundError, IsADirectoryError) as error:
                raise OnnxqError(
                    f"{base / name}: no such file; `data` {kind}:DIR wants the unpacked {folder}"
                ) from error
            pixels.append(self._pixels_of(content, base / name))
            labels.extend(self._labels_of(content, key, len(pixels[-1]), base / name))
        self._pixels = np.concatenate(pixels).transpose(0, 2, 3, 1)
        self._labels = labels

    @staticmethod
    def _pixels_of(content: dict[Any, Any], path: Path) -> NDArray[np.uint8]:
        data = content.get(b"data", content.get("data"))
        if not isinstance(data, bytes) or not data or len(data) % PIXELS:
            raise OnnxqError(f"{path}: 'data' must be uint8 pixels of images of 3 x 32 x 32")
        return np.frombuffer(data, np.uint8).reshape(-1, 3, 32, 32)

    def _labels_of(self, content: dict[Any, Any], key: str, count: int, path: Path) -> list[int]:
        labels = content.get(key.encode(), content.get(key))
        if isinstance(labels, list) and len(labels) == count:
            numbers = [label for label in labels if type(label) is int and 0 <= label < self.class_count]
            if len(numbers) == count:
                return numbers
        top = self.class_count - 1
        raise OnnxqError(f"{path}: '{key}' must be a number from 0 to {top} for each of {count} images")

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, index: int) -> int:
        return int(self._labels[index])

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self._pixels[index])

    def stamp(self, index: int) -> None:
        return None
