"""Images without labels, or with those that a list gives: a flat folder, a list file, a YOLO data.yaml, a COCO json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from onnxq.data.datasets.base import Purpose
from onnxq.data.datasets.folder import SUFFIXES, decoded_image, file_stamp, files_below, nor_others
from onnxq.errors import OnnxqError, first_line

MOST_BYTES = 2**30  # of a list


class ImageList:
    """Image files, in order.

    Args:
        labels: a class for each; None for no labels, told by a class count of 0.

    Raises:
        OnnxqError: there are none.
    """

    in_memory = False

    def __init__(self, name: str, paths: Sequence[Path], labels: Sequence[int] | None = None) -> None:
        if not paths:
            raise OnnxqError(f"{name}: no images in it ({', '.join(sorted(SUFFIXES))})")
        self.name = name
        self._paths, self._labels = paths, labels
        self.class_count = max(labels) + 1 if labels is not None else 0

    def __len__(self) -> int:
        return len(self._paths)

    def label(self, index: int) -> int:
        return self._labels[index] if self._labels is not None else -1

    def image(self, index: int) -> Image.Image:
        return decoded_image(self._paths[index], str(self._paths[index]))

    def stamp(self, index: int) -> str:
        return file_stamp(self._paths[index])

    def file(self, index: int) -> Path:
        """Of an image."""
        return self._paths[index]


def flat_folder(root: Path) -> ImageList:
    """All images in a folder and in those below it, without labels."""
    return ImageList(str(root), [path for path in files_below(root) if path.suffix.lower() in SUFFIXES])


def listed(path: Path) -> ImageList:
    """A text file: an image a line, relative to the file; behind it, on every line or on none, the number of its class.

    Raises:
        OnnxqError: it cannot be read, or an image is not there.
    """
    lines = [line.strip() for line in text_of(path).splitlines() if line.strip()]
    pairs = [line.rsplit(maxsplit=1) for line in lines]
    labelled = bool(lines) and all(len(pair) == 2 and pair[1].isascii() and pair[1].isdigit() for pair in pairs)
    files = [path.parent / (pair[0] if labelled else line) for pair, line in zip(pairs, lines, strict=True)]
    check_there(path, files)
    labels = [int(pair[1]) for pair in pairs] if labelled else None
    if labels and max(labels) >= 2**31:
        raise OnnxqError(f"{path}: a label is {max(labels)}: labels are numbers of classes")
    return ImageList(str(path), files, labels)


def yolo(path: Path, purpose: Purpose) -> ImageList:
    """A data.yaml: ``path``, and folders or lists of images for ``train`` and ``val``. Boxes are not read.

    Raises:
        OnnxqError: it has no such folder.
    """
    return ImageList(*yolo_images(path, purpose))


def yolo_images(path: Path, purpose: Purpose) -> tuple[str, list[Path]]:
    """What to call the images of a data.yaml, and their files; raises as ``yolo``."""
    try:
        content = yaml.safe_load(text_of(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise OnnxqError(f"{path}: not YAML ({first_line(error)})") from error
    key = "train" if purpose == "calib" else "val"
    content = content if isinstance(content, dict) else {}
    given = content.get(key)
    entries = [given] if isinstance(given, str) else given
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise OnnxqError(f"{path}: `{key}` must be a folder of images, or a list of such")
    root = path.parent / str(content.get("path") or "")
    found: list[Path] = []
    for entry in entries:
        place = root / entry
        if place.suffix == ".txt":
            found += [place.parent / line.strip() for line in text_of(place).splitlines() if line.strip()]
        else:
            found += [each for each in files_below(place) if each.suffix.lower() in SUFFIXES]
    check_there(path, found)
    return f"{path} ({key})", found


def coco(path: Path) -> ImageList:
    """A COCO json: the images that it names. Annotations are not read.

    The images lie beside it, beside its folder, or in a folder there that is called ``images`` or like the end of its
    name (``instances_val2017``).

    Raises:
        OnnxqError: it is none, or an image is not there.
    """
    return ImageList(str(path), coco_images(path, coco_content(path)))


def coco_content(path: Path) -> Any:
    """What stands in a json, of whatever kind; raises as ``coco``."""
    try:
        return json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise OnnxqError(f"{path}: not a COCO json ({first_line(error)})") from error


def coco_images(path: Path, content: Any) -> list[Path]:
    """The files of its images; raises as ``coco``."""
    try:
        names = [entry["file_name"] for entry in content["images"]]
    except (KeyError, TypeError) as error:
        raise OnnxqError(f"{path}: not a COCO json (`images`, each with a `file_name`)") from error
    if not all(isinstance(name, str) for name in names):
        raise OnnxqError(f"{path}: a `file_name` is no text")
    split = path.stem.rpartition("_")[2]  # instances_val2017
    near, above = path.parent, path.parent.parent
    places = [near, near / split, near / "images", above / split, above / "images" / split, above / "images"]
    root = next((place for place in places if names and (place / names[0]).is_file()), None)
    if root is None:
        tried = ", ".join(map(str, places))
        raise OnnxqError(f"{path}: its images are in none of {tried}; put them there, or a link to them")
    files = [root / name for name in names]
    check_there(path, files)
    return files


def check_there(path: Path, files: Sequence[Path]) -> None:
    """Raises OnnxqError: some are not; ``path`` is the list that names them."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise OnnxqError(f"{path}: {missing[0]} is not there{nor_others(missing)}")


def text_of(path: Path) -> str:
    """What stands in a list.

    Raises:
        OnnxqError: it cannot be read.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise OnnxqError(f"{path}: larger than any list of images")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise OnnxqError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"{path}: cannot be read ({first_line(error)})") from error
