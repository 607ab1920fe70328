"""What is known of images beside a class: boxes, masks, text; one kind a file. A part of ``data``.

A kind reads data sets (``KINDS``), and says what is true of an image as the network sees it.
"""

from __future__ import annotations

from collections.abc import Callable

from onnxq.data.annotations.annotated import AnnotatedImages
from onnxq.data.annotations.boxes import open_boxes
from onnxq.data.annotations.masks import open_masks
from onnxq.data.annotations.text import open_texts
from onnxq.data.datasets.base import Purpose

__all__ = ["KINDS", "AnnotatedImages"]

KINDS: dict[str, Callable[[str, Purpose], AnnotatedImages]] = {
    "boxes": open_boxes,
    "masks": open_masks,
    "text": open_texts,
}
