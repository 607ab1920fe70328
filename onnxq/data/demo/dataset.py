"""The procedural data set as a ``Dataset``. A part of ``data``."""

from __future__ import annotations

from PIL import Image

from onnxq.data.datasets.base import Purpose
from onnxq.data.demo import drawings


class Demo:
    """The procedural data set; see ``onnxq.data.demo.drawings``."""

    class_count = len(drawings.CLASSES)
    in_memory = False

    def __init__(self, split: Purpose) -> None:
        self.name = f"demo ({split})"
        self._split = split

    def __len__(self) -> int:
        return drawings.SPLIT_LENGTHS[self._split]

    def label(self, index: int) -> int:
        return drawings.label(self._split, index)

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(drawings.render(self._split, index))

    def stamp(self, index: int) -> str:
        return f"{self.name} {index}"
