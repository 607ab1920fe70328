"""Data sets by the names that the command line gives them. A part of ``data``."""

from __future__ import annotations

from pathlib import Path

from onnxq.data.datasets.arrays import Arrays
from onnxq.data.datasets.base import BadImageError, Dataset, Purpose
from onnxq.data.datasets.cifar import Cifar
from onnxq.data.datasets.folder import ImageFolder, has_images, read_classes
from onnxq.data.datasets.image_list import coco, flat_folder, listed, yolo
from onnxq.data.datasets.val224 import Val224
from onnxq.data.demo.dataset import Demo
from onnxq.errors import OnnxqError

__all__ = ["BadImageError", "Dataset", "Demo", "Purpose", "open_dataset"]

LISTS = (".npz", ".txt", ".yaml", ".yml", ".json")


def open_dataset(spec: str, purpose: Purpose, classes: str | Path | None = None) -> Dataset:
    """Open what ``--data`` names.

    Args:
        spec: a folder of class folders, or of images without labels; ``cifar10:DIR``, ``cifar100:DIR``,
            ``val224:FILE``; an ``.npz`` file of images and labels; a list of images, ``.txt``, YOLO ``.yaml`` or COCO
            ``.json``; or ``demo``.
        purpose: 'calib' takes the training or calibration images of sets that have such, 'test' the test images.
        classes: file of class names in index order, for an image folder that lacks some classes.

    Raises:
        OnnxqError: it cannot be opened.
    """
    kind, _, folder = spec.partition(":")
    of_folders = spec != "demo" and kind not in ("cifar10", "cifar100", "val224") and Path(spec).suffix not in LISTS
    if classes is not None and not of_folders:
        raise OnnxqError("`classes` goes with an image folder only")
    if spec == "demo":
        return Demo(purpose)
    if kind in ("cifar10", "cifar100") and folder:
        return Cifar(kind, Path(folder), train=purpose == "calib")
    if kind == "val224" and folder:
        return Val224(Path(folder))
    path = Path(spec)
    if path.suffix == ".npz":
        return Arrays(path)
    if path.suffix == ".txt":
        return listed(path)
    if path.suffix in (".yaml", ".yml"):
        return yolo(path, purpose)
    if path.suffix == ".json":
        return coco(path)
    if classes is None and path.is_dir() and has_images(path):
        if any(each.is_dir() and has_images(each) for each in path.iterdir()):
            raise OnnxqError(
                f"{path}: images lie in it and in folders in it: class folders go with no others, and images without "
                "labels lie in one folder"
            )
        return flat_folder(path)
    return ImageFolder(path, read_classes(Path(classes)) if classes is not None else None)
