"""Lines of text: a list of images, each with what is written on it. A part of ``data``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from onnxq.data.annotations.annotated import AnnotatedImages
from onnxq.data.datasets.base import Purpose
from onnxq.data.datasets.image_list import check_there, text_of
from onnxq.data.fitting import Placed, Size
from onnxq.errors import OnnxqError


@dataclass(frozen=True)
class Line:
    """What is written on an image."""

    kind: ClassVar[str] = "text"

    text: str

    def placed(self, size: Size, placed: Placed) -> Line:
        """The same: no preprocessing changes it."""
        return self


def open_texts(spec: str, purpose: Purpose) -> AnnotatedImages:
    """A ``.txt`` file: on each line an image, relative to the file, a tab, and its text.

    Raises:
        OnnxqError: it cannot be read, a line has no tab, or an image is not there.
    """
    path = Path(spec)
    if path.suffix != ".txt":
        raise OnnxqError(f"{spec}: texts are read from a .txt list, an image, a tab and its text on each line")
    lines = [(number, line) for number, line in enumerate(text_of(path).split("\n"), start=1) if line.strip()]
    if wrong := [number for number, line in lines if "\t" not in line]:
        raise OnnxqError(f"{path}, line {wrong[0]}: expected an image, a tab and its text")
    pairs = [line.split("\t", 1) for _, line in lines]
    files = [path.parent / pair[0].strip() for pair in pairs]
    check_there(path, files)
    return AnnotatedImages(spec, files, [Line(pair[1].strip()) for pair in pairs])
