"""A folder of class folders of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from onnxq.data.datasets.base import BadImageError
from onnxq.data.fitting import MOST_PIXELS
from onnxq.errors import OnnxqError

UNDECODABLE = (
    *(OSError, UnidentifiedImageError, SyntaxError, ValueError, MemoryError),
    *(Image.DecompressionBombError, OverflowError),
)
MOST_EXTENDED = 100
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")  # by content; others, like EPS, start programs
SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "calib", "calibration"}
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif"}


class ImageFolder:
    """Images of ``root/class/*``; the class index is the place of the folder's name in ``classes``.

    Args:
        root: the folder.
        classes: all class names in index order; None takes the folder names, sorted.

    Raises:
        OnnxqError: the folder is missing or has no images, or a class folder is not in ``classes``.
    """

    in_memory = False

    def __init__(self, root: Path, classes: tuple[str, ...] | None = None) -> None:
        try:
            if not root.is_dir():
                raise OnnxqError(f"{root}: no such folder")
            folders = sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
            paths = {folder: files_below(root / folder) for folder in folders}
        except OSError as error:
            raise OnnxqError(f"{error.filename or root}: cannot be read: {error.strerror}") from error
        if classes is None and folders and {folder.lower() for folder in folders} <= SPLITS:
            inner = [root / folder for folder in folders]
            if any(map(_holds_folders, inner)):
                parts = ", ".join(folders)
                raise OnnxqError(f"{root}: {parts} are no classes, but parts: give one of them, like {inner[0]}")
        names = classes if classes is not None else tuple(folders)
        unknown = [folder for folder in folders if folder not in set(names)]
        if unknown:
            raise OnnxqError(f"{root}: folder {unknown[0]} is not in the class list{nor_others(unknown)}")
        index = {name: number for number, name in enumerate(names)}
        self.name = str(root)
        self.classes = names
        self.class_count = len(names)
        self._items = [
            (path, index[folder]) for folder in folders for path in paths[folder] if path.suffix.lower() in SUFFIXES
        ]
        if not self._items:
            raise OnnxqError(f"{root}: no images, neither in it nor in class folders ({root}/CLASS/IMAGE.jpg)")

    def __len__(self) -> int:
        return len(self._items)

    def label(self, index: int) -> int:
        return self._items[index][1]

    def image(self, index: int) -> Image.Image:
        path = self._items[index][0]
        return decoded_image(path, str(path))

    def stamp(self, index: int) -> str:
        return file_stamp(self._items[index][0])

    def file(self, index: int) -> Path:
        """Of an image."""
        return self._items[index][0]


def nor_others(missing: Sequence[object]) -> str:
    """Behind a sentence that says of the first that it is not there."""
    return f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""


def _holds_folders(root: Path) -> bool:
    """Of images, and no images beside them."""
    return not has_images(root) and any(each.is_dir() and has_images(each) for each in root.iterdir())


def has_images(root: Path) -> bool:
    """Whether images lie in a folder itself, which class folders do not go with."""
    try:
        return any(each.suffix.lower() in SUFFIXES and each.is_file() for each in root.iterdir())
    except OSError:  # who reads it says so
        return False


def file_stamp(path: Path) -> str:
    """A text that changes when a file does."""
    try:
        facts = path.stat()
    except OSError:
        return f"{path} is not there"
    return f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its folders, sorted.

    Raises:
        OnnxqError: one cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise OnnxqError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error

    found = os.walk(folder, onerror=fail)
    return sorted(Path(where) / name for where, _, names in found for name in names)


def decoded_image(source: Path | BinaryIO, name: str) -> Image.Image:
    """An image from a file.

    Raises:
        BadImageError: it cannot be decoded, or has absurd sizes; the message calls it ``name``.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            _check_size(image)
            image.load()
            return image
    except UnidentifiedImageError as error:  # whose own text shows an object of Python
        raise BadImageError(f"{name}: cannot be decoded (not an image of a known kind)") from error
    except UNDECODABLE as error:
        raise BadImageError(f"{name}: cannot be decoded ({error})") from error


def _check_size(image: Image.Image) -> None:
    """Before any of it is decoded.

    Raises:
        ValueError: its size is not that of a picture.
    """
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million")
    if max(width, height) > MOST_EXTENDED * min(width, height):
        raise ValueError(f"it has {width} x {height} pixels: one side is over {MOST_EXTENDED} times the other")


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names, one a line, in index order.

    Raises:
        OnnxqError: the file is missing or a name stands in it twice.
    """
    try:
        names = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"`classes` {path}: cannot be read ({error})") from error
    if len(set(names)) != len(names) or not names:
        raise OnnxqError(f"`classes` {path}: expected one class name a line, each once")
    return names
