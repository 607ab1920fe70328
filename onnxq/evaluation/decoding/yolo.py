"""Outputs of YOLO and its kin: one array with a box and scores in each row or column.

yolov8   [N, 4 + classes, boxes]: centre, width, height in pixels; scores (YOLOv8, v9, v11)
yolo     [N, boxes, 5 + classes]: the same, an objectness before the scores (YOLOv5, v7; YOLOX decoded inside)
yolox    [N, boxes, 5 + classes]: offsets in cells of 8, 16 and 32 pixels, logarithms of sizes (YOLOX, Ge et al. 2021)
end2end  [N, boxes, 6]: left, top, right, bottom in pixels, score, class (YOLOv10, or with suppression inside)

Where shapes are alike, values tell: classes are whole numbers, sizes are positive and their logarithms are not. Other
outputs behind the first one are maps of features (YOLOv5), or masks to which the last columns belong (YOLOv8-seg).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.data.fitting import Size
from onnxq.evaluation.decoding.base import LEAST_SCORE, Decoder, Found, Outputs, corners_of, suppressed

STRIDES = (8, 16, 32)
LARGEST_LOGARITHM = 20.0  # of a width or height: a larger one is no box


def _leads(outputs: Outputs) -> bool:
    """Whether the first output is of rows or columns, and the others are maps."""
    return outputs[0].ndim == 3 and outputs[0].dtype.kind == "f" and all(each.ndim > 3 for each in outputs[1:])


def _columns_fit(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> bool:
    return _leads(outputs) and 5 <= outputs[0].shape[1] - _mask_columns(outputs) < outputs[0].shape[2]


def _rows_fit(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> bool:
    return _leads(outputs) and 6 <= outputs[0].shape[2] < outputs[0].shape[1]


def _cells_fit(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> bool:
    return _rows_fit(outputs, frame, metadata) and outputs[0].shape[1] == len(_cells(frame)[0])


def _found_fit(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> bool:
    return len(outputs) == 1 and outputs[0].ndim == 3 and outputs[0].shape[2] == 6


def _has_sizes(outputs: Outputs) -> bool:
    return bool((outputs[0][..., 2:4] >= 0).all())


def _has_logarithms(outputs: Outputs) -> bool:
    return not _has_sizes(outputs)


def _has_classes(outputs: Outputs) -> bool:
    numbers = outputs[0][..., 5]
    return bool((numbers == np.rint(numbers)).all())


def _mask_columns(outputs: Outputs) -> int:
    return int(outputs[1].shape[1]) if len(outputs) == 2 and outputs[1].ndim == 4 else 0


def _columns(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
    rows = outputs[0].transpose(0, 2, 1)[..., : outputs[0].shape[1] - _mask_columns(outputs)]
    return [suppressed(corners_of(image[:, :4]), image[:, 4:]) for image in rows]


def _rows(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
    return [suppressed(corners_of(image[:, :4]), image[:, 4:5] * image[:, 5:]) for image in outputs[0]]


def _from_cells(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
    cells, strides = _cells(frame)
    raw = outputs[0]
    middle = (raw[..., :2] + cells) * strides
    size = np.exp(np.minimum(raw[..., 2:4], LARGEST_LOGARITHM)) * strides
    return _rows((np.concatenate([middle, size, raw[..., 4:]], axis=-1),), frame, metadata)


def _as_found(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
    kept = [image[image[:, 4] > LEAST_SCORE] for image in outputs[0]]
    return [Found(image[:, :4], image[:, 4], image[:, 5].astype(np.int64)) for image in kept]


def _cells(frame: Size) -> tuple[NDArray[Any], NDArray[Any]]:
    """Column and row of each cell, [cells, 2], and its stride, [cells, 1]: fine cells first, row by row."""
    grids = [
        np.stack(np.meshgrid(np.arange(frame[1] // step), np.arange(frame[0] // step)), axis=-1).reshape(-1, 2)
        for step in STRIDES
    ]
    strides = np.concatenate([np.full((len(grid), 1), step) for grid, step in zip(grids, STRIDES, strict=True)])
    return np.concatenate(grids).astype(np.float32), strides.astype(np.float32)


END_TO_END = Decoder(_found_fit, _as_found, likely=_has_classes)
YOLOV8 = Decoder(_columns_fit, _columns)
YOLOX = Decoder(_cells_fit, _from_cells, likely=_has_logarithms)
YOLO = Decoder(_rows_fit, _rows, likely=_has_sizes)
