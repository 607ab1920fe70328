"""What a decoder is. A part of ``evaluation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.optional import optional
from onnxq.data.fitting import Size
from onnxq.errors import OnnxqError

Outputs = Sequence[NDArray[Any]]
LEAST_SCORE = 0.001  # of what is looked at; as evaluations of COCO have it
MOST_OVERLAP = 0.65  # of two boxes of a class that both stay
MOST_CANDIDATES = 30_000  # of an image, the best ones, whose overlaps are looked at
MOST_FOUND = 300  # in an image, before the best hundred are taken


@dataclass(frozen=True)
class Found:
    """Objects found in an image.

    Attributes:
        corners: left, top, right, bottom in pixels of the input, float [n, 4]. scores: [n]. classes: int64 [n].

    Raises:
        OnnxqError: arrays of other shapes.
    """

    corners: NDArray[Any]
    scores: NDArray[Any]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.corners) if self.corners.ndim else 0
        if self.corners.shape != (count, 4) or self.scores.shape != (count,) or self.classes.shape != (count,):
            shapes = ", ".join(str(list(array.shape)) for array in (self.corners, self.scores, self.classes))
            raise OnnxqError(f"boxes, scores and classes must be [n, 4], [n] and [n], not {shapes}")


@dataclass(frozen=True)
class Decoder:
    """A way to write boxes.

    Attributes:
        fits: whether outputs of a batch may be written so, for an input of this height and width and such metadata.
        likely: likewise, by their values, where others have the same shapes.
        decode: they as objects, image by image.
        by_id: its classes are the numbers of the data set (1 to 90 of COCO), and not counted from 0.
    """

    fits: Callable[[Outputs, Size, Mapping[str, str]], bool]
    decode: Callable[[Outputs, Size, Mapping[str, str]], list[Found]]
    by_id: bool = False
    likely: Callable[[Outputs], bool] = lambda outputs: True


def suppressed(corners: NDArray[Any], scores: NDArray[Any]) -> Found:
    """Of boxes with scores for each class those that no better one of their class overlaps.

    Args:
        corners: [n, 4]. scores: [n, classes].
    """
    optional("torchvision", "torch", "choosing boxes needs torchvision")
    import torch
    from torchvision.ops import batched_nms

    places, classes = np.nonzero(scores > LEAST_SCORE)
    best = scores[places, classes]
    if len(best) > MOST_CANDIDATES:
        kept = np.argpartition(-best, MOST_CANDIDATES)[:MOST_CANDIDATES]
        places, classes, best = places[kept], classes[kept], best[kept]
    boxes = corners[places].astype(np.float32)
    order = batched_nms(*map(torch.from_numpy, (boxes, best.astype(np.float32), classes)), MOST_OVERLAP)
    order = order.numpy()[:MOST_FOUND]
    return Found(boxes[order], best[order], classes[order])


def corners_of(centred: NDArray[Any]) -> NDArray[Any]:
    """Centre, width and height [..., 4] to left, top, right, bottom."""
    middle, half = centred[..., :2], centred[..., 2:4] / 2
    return np.concatenate([middle - half, middle + half], axis=-1)
