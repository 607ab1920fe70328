"""Data sets by the names that the command line gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PIL import Image

from onnxq.datasets import demo
from onnxq.datasets.arrays import Arrays
from onnxq.datasets.base import BadImageError, Dataset
from onnxq.datasets.cifar import Cifar
from onnxq.datasets.folder import ImageFolder, read_classes
from onnxq.errors import OnnxqError

__all__ = ["BadImageError", "Dataset", "Demo", "open_dataset"]

Purpose = Literal["calib", "test"]


class Demo:
    """The procedural data set; see ``onnxq.datasets.demo``."""

    class_count = len(demo.CLASSES)

    def __init__(self, split: Purpose) -> None:
        self.name = f"demo ({split})"
        self._split = split

    def __len__(self) -> int:
        return demo.SPLIT_LENGTHS[self._split]

    def label(self, index: int) -> int:
        return demo.label(self._split, index)

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(demo.render(self._split, index))

    def stamp(self, index: int) -> str:
        return f"{self.name} {index}"


def open_dataset(spec: str, purpose: Purpose, classes: str | Path | None = None) -> Dataset:
    """Open what ``--data`` names.

    Args:
        spec: an image folder, ``cifar10:DIR``, ``cifar100:DIR``, an ``.npz`` file, or ``demo``.
        purpose: 'calib' takes the training or calibration images of sets that have such, 'test' the test images.
        classes: file of class names in index order, for an image folder that lacks some classes.

    Raises:
        OnnxqError: it cannot be opened.
    """
    kind, _, folder = spec.partition(":")
    if classes is not None and (spec == "demo" or kind in ("cifar10", "cifar100") or spec.endswith(".npz")):
        raise OnnxqError("--classes goes with an image folder only")
    if spec == "demo":
        return Demo(purpose)
    if kind in ("cifar10", "cifar100") and folder:
        return Cifar(kind, Path(folder), train=purpose == "calib")
    if spec.endswith(".npz"):
        return Arrays(Path(spec))
    return ImageFolder(Path(spec), read_classes(Path(classes)) if classes is not None else None)
