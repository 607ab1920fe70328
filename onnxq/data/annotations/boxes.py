"""Boxes of objects: a COCO json, or a YOLO data.yaml with a .txt file beside each image. A part of ``data``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.data.annotations.annotated import AnnotatedImages
from onnxq.data.datasets.base import Purpose
from onnxq.data.datasets.image_list import coco_content, coco_images, text_of, yolo_images
from onnxq.data.fitting import Placed, Size
from onnxq.errors import OnnxqError

Corners = NDArray[np.float64]
MOST_CLASSES = 2**16
MOST_OUTSIDE = 0.1  # of boxes: data sets have mistakes


@dataclass(frozen=True)
class Boxes:
    """Objects in an image, in pixels of the network's input.

    Attributes:
        corners: left, top, right, bottom, float64 [n, 4].
        classes: int64 [n], numbered from 0 on in the order of the data set's numbers. ids: these numbers themselves.
        crowd: bool [n]: a group of objects, which may be found or not.
        frame: height and width of the input. bounds: left, top, right, bottom of the image in it, float64 [4].
    """

    kind: ClassVar[str] = "boxes"

    corners: Corners
    classes: NDArray[np.int64]
    ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    frame: Size
    bounds: Corners


@dataclass
class BoxAnnotation:
    """Objects in an image, as a data set has them.

    Attributes:
        boxes: left, top, right, bottom; of 0 to 1 where ``relative``, else in pixels.
        ids: numbers of their classes. order: all such numbers of the data set, sorted.
        size: height and width of the image, where the data set says it.
    """

    order: tuple[int, ...]
    size: tuple[int, int] | None = None
    relative: bool = False
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)

    def placed(self, size: Size, placed: Placed) -> Boxes:
        """As ``Annotation.placed``; what a crop leaves of them, and not those outside of it."""
        if self.size is not None and self.size != size:
            raise OnnxqError(
                f"an image of {size[1]} x {size[0]} pixels; its boxes are of one of {self.size[1]} x {self.size[0]}"
            )
        corners = np.array(self.boxes, np.float64).reshape(-1, 4)
        height, width = (1, 1) if self.relative else size
        (inner_height, inner_width), (top, left) = placed.inner, placed.corner
        scale = np.array([inner_width / width, inner_height / height] * 2)
        corners = corners * scale + np.array([left, top] * 2)
        end = np.minimum([left + inner_width, top + inner_height], [placed.frame[1], placed.frame[0]])
        bounds = np.concatenate([np.maximum([left, top], 0), end]).astype(np.float64)
        corners = np.clip(corners, np.tile(bounds[:2], 2), np.tile(bounds[2:], 2))
        ids = np.array(self.ids, np.int64)
        kept = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        classes = np.searchsorted(np.array(self.order, np.int64), ids)
        return Boxes(corners[kept], classes[kept], ids[kept], np.array(self.crowd, bool)[kept], placed.frame, bounds)


def open_boxes(spec: str, purpose: Purpose) -> AnnotatedImages:
    """A COCO ``.json``, or a YOLO ``data.yaml``.

    Raises:
        OnnxqError: it is neither, or cannot be read.
    """
    path = Path(spec)
    if path.suffix == ".json":
        return _coco(path)
    if path.suffix in (".yaml", ".yml"):
        return _yolo(path, purpose)
    raise OnnxqError(f"{spec}: boxes are read from a COCO .json or a YOLO data.yaml")


def _coco(path: Path) -> AnnotatedImages:
    content = coco_content(path)
    if not isinstance(content, dict):
        raise OnnxqError(f"{path}: not a COCO json with boxes: `images` and `annotations` by name")
    try:
        order = tuple(sorted(int(category["id"]) for category in content["categories"]))
        if not all(0 <= number < MOST_CLASSES for number in order):
            raise ValueError(f"numbers of categories are 0 to {MOST_CLASSES - 1}")
        known = set(order)
        found = {entry["id"]: BoxAnnotation(order, _size(entry)) for entry in content["images"]}
        if len(found) != len(content["images"]):
            raise ValueError("two images have the same `id`")
        for each in content["annotations"]:
            if not isinstance(each["bbox"], list):
                raise ValueError(f"`bbox` is {each['bbox']!r:.40}, not a list")
            left, top, width, height = (_finite(value) for value in each["bbox"])
            if width < 0 or height < 0:
                raise ValueError(f"a box has the size {width:g} x {height:g}")
            if int(each["category_id"]) not in known:
                raise ValueError(f"an annotation has the category {each['category_id']}, which is none")
            if each.get("iscrowd", 0) not in (0, 1):
                raise ValueError(f"`iscrowd` is {each['iscrowd']!r:.40}, not 0 or 1")
            annotation = found[each["image_id"]]
            annotation.boxes.append((left, top, left + width, top + height))
            annotation.ids.append(int(each["category_id"]))
            annotation.crowd.append(bool(each.get("iscrowd", 0)))
        annotations = [found[entry["id"]] for entry in content["images"]]
        if _share_outside(annotations) > MOST_OUTSIDE:
            raise ValueError("boxes leave their images; a `bbox` is [left, top, width, height]")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise OnnxqError(
            f"{path}: not a COCO json with boxes (`categories`, and `annotations` with `bbox`): {what}"
        ) from error
    return AnnotatedImages(str(path), coco_images(path, content), annotations)


def _share_outside(annotations: Sequence[BoxAnnotation]) -> float:
    """Of all boxes in pixels of images whose size is known, those that end more than a pixel outside."""
    ends = [
        right > each.size[1] + 1 or bottom > each.size[0] + 1
        for each in annotations
        if each.size is not None
        for _, _, right, bottom in each.boxes
    ]
    return sum(ends) / max(len(ends), 1)


def _yolo(path: Path, purpose: Purpose) -> AnnotatedImages:
    name, images = yolo_images(path, purpose)
    read = [_yolo_lines(_labels_of(image)) for image in images]
    order = tuple(range(1 + max((max(ids, default=-1) for ids, _ in read), default=-1)))
    if not order:
        raise OnnxqError(f"{path}: no labels beside its images (a .txt each, in `labels` where `images` stands)")
    annotations = [
        BoxAnnotation(order, relative=True, boxes=boxes, ids=ids, crowd=[False] * len(ids)) for ids, boxes in read
    ]
    return AnnotatedImages(name, images, annotations)


def _labels_of(image: Path) -> Path:
    """Where YOLO has the labels of an image: ``labels`` in the place of the last ``images``."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _yolo_lines(path: Path) -> tuple[list[int], list[tuple[float, float, float, float]]]:
    """Classes and boxes of a file: lines of class, centre, width and height; none where there is no file."""
    ids, boxes = [], []
    for number, line in enumerate(text_of(path).splitlines() if path.is_file() else (), start=1):
        if not line.strip():
            continue
        try:
            label, x, y, width, height = line.split()
            if not label.isascii() or not label.isdigit():
                raise ValueError(label)
            across, down, wide, high = (_finite(value) for value in (x, y, width, height))
            if int(label) >= MOST_CLASSES or min(across, down, wide, high) < 0 or max(across, down, wide, high) > 1:
                raise ValueError(line)
            ids.append(int(label))
            boxes.append((across - wide / 2, down - high / 2, across + wide / 2, down + high / 2))
        except ValueError as error:
            raise OnnxqError(
                f"{path}, line {number}: expected a class and a box (x y width height, of 0 to 1)"
            ) from error
    return ids, boxes


def _size(entry: Any) -> tuple[int, int] | None:
    """Of an image, where its entry says it."""
    return (int(entry["height"]), int(entry["width"])) if "height" in entry and "width" in entry else None


def _finite(value: Any) -> float:
    number = float(value)
    if not abs(number) < 1e9:
        raise ValueError(f"a box has the number {value}")
    return number
