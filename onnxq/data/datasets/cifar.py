"""CIFAR-10 and CIFAR-100 as their authors distribute them (the "python version" archives, unpacked)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.errors import OnnxqError

_LAYOUT = {
    # name: (folder, test files, train files, key of the labels, classes)
    "cifar10": ("cifar-10-batches-py", ("test_batch",), tuple(f"data_batch_{i}" for i in range(1, 6)), b"labels", 10),
    "cifar100": ("cifar-100-python", ("test",), ("train",), b"fine_labels", 100),
}
_ALLOWED = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


class _ArrayUnpickler(pickle.Unpickler):
    """The archives are pickles of arrays and lists: nothing else is let in."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED and (module, name) != ("numpy._core.multiarray", "_reconstruct"):
            raise pickle.UnpicklingError(f"unexpected {module}.{name}")
        return super().find_class(module, name)


class Cifar:
    """One of the two sets.

    Args:
        kind: 'cifar10' or 'cifar100'.
        root: the unpacked folder, or the folder that holds it.
        train: training images (for calibration) or test images.

    Raises:
        OnnxqError: files are missing or damaged.
    """

    def __init__(self, kind: str, root: Path, train: bool) -> None:
        folder, test_files, train_files, key, self.class_count = _LAYOUT[kind]
        base = root / folder if (root / folder).is_dir() else root
        self.name = f"{kind}:{root}"
        pixels: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for name in train_files if train else test_files:
            try:
                with (base / name).open("rb") as file:
                    content = _ArrayUnpickler(file, encoding="bytes").load()
                pixels.append(np.asarray(content[b"data"], np.uint8).reshape(-1, 3, 32, 32))
                labels.extend(content[key])
            except FileNotFoundError as error:
                raise OnnxqError(
                    f"{base / name}: no such file; `data` {kind}:DIR wants the unpacked {folder}"
                ) from error
            except (OSError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
                raise OnnxqError(f"{base / name}: not a {kind} file, or a damaged one ({error})") from error
        self._pixels = np.concatenate(pixels).transpose(0, 2, 3, 1)
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, index: int) -> int:
        return int(self._labels[index])

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self._pixels[index])

    def stamp(self, index: int) -> None:
        return None
