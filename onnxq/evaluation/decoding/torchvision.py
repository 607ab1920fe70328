"""torchvision's detectors: boxes that the file chose, or scores of all anchors, as `onnxq export` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from onnxq.core.metadata_keys import DETECTOR
from onnxq.core.optional import optional
from onnxq.data.fitting import Size
from onnxq.errors import OnnxqError
from onnxq.evaluation.decoding.base import Decoder, Found, Outputs


def _chosen_fit(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> bool:
    kinds = {(array.ndim, array.shape[-1] if array.ndim == 2 else 0) for array in outputs}
    return len(outputs) == 3 and kinds == {(2, 4), (1, 0)}


def _chosen(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
    """Of one image: boxes [n, 4], scores [n] of a float type, classes [n] of integers; in any order."""
    (boxes,) = (array for array in outputs if array.ndim == 2)
    numbers = [array for array in outputs if array.ndim == 1]
    labels = [array for array in numbers if array.dtype.kind in "iu"]
    scores = [array for array in numbers if array.dtype.kind == "f"]
    if len(labels) != 1 or len(scores) != 1:
        raise OnnxqError("expected boxes [n, 4], scores [n] and classes [n] of integers")
    return [Found(boxes, scores[0], labels[0].astype(np.int64))]


def _anchors_fit(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> bool:
    return DETECTOR in metadata and 2 <= len(outputs) <= 3


def _of_anchors(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
    optional("torchvision", "torch", "boxes of torchvision's detectors need it")
    import torch
    from torchvision.models.detection.image_list import ImageList

    classes = outputs[0].shape[-1]
    detector, maps = _detector(metadata[DETECTOR], classes, frame)
    names = ("cls_logits", "bbox_regression", "bbox_ctrness")
    head: dict[str, Any] = {
        name: torch.from_numpy(np.asarray(array)) for name, array in zip(names, outputs, strict=False)
    }
    images = ImageList(torch.zeros(len(outputs[0]), 3, *frame), [frame] * len(outputs[0]))
    anchors = detector.anchor_generator(images, maps)
    if len(anchors[0]) != outputs[0].shape[1]:
        raise OnnxqError(f"{outputs[0].shape[1]} anchors; {metadata[DETECTOR]} has {len(anchors[0])} at this size")
    if not metadata[DETECTOR].startswith("ssd"):  # each map of features has its best
        each = [features.shape[-2] * features.shape[-1] for features in maps]
        per_cell = len(anchors[0]) // sum(each)
        sizes = [size * per_cell for size in each]
        head = {name: list(values.split(sizes, dim=1)) for name, values in head.items()}
        anchors = [list(image.split(sizes)) for image in anchors]
    found = detector.postprocess_detections(head, anchors, images.image_sizes)
    return [
        Found(image["boxes"].numpy(), image["scores"].numpy(), image["labels"].numpy().astype(np.int64))
        for image in found
    ]


@cache
def _detector(name: str, classes: int, frame: Size) -> tuple[Any, list[Any]]:
    """A detector without weights, and maps of features of the sizes that it makes of an input."""
    import torch
    from torchvision.models import get_model

    try:
        detector = get_model(name, weights=None, weights_backbone=None, num_classes=classes).eval()
    except (ValueError, TypeError) as error:
        raise OnnxqError(f"torchvision has no detector {name!r}") from error
    with torch.no_grad():
        maps = detector.backbone(torch.zeros(1, 3, *frame))
    return detector, list(maps.values()) if isinstance(maps, dict) else [maps]


FINAL = Decoder(_chosen_fit, _chosen, by_id=True)
RAW = Decoder(_anchors_fit, _of_anchors, by_id=True)
