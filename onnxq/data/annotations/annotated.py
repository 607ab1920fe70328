"""Images, each with an annotation that follows it through its preprocessing. A part of ``data``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from PIL import Image

from onnxq.data.datasets.folder import UNDECODABLE
from onnxq.data.datasets.image_list import ImageList
from onnxq.data.fitting import Placed, Size
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError


class Truth(Protocol):
    """What is true of an image as the network sees it.

    Attributes:
        kind: 'boxes', 'masks' or 'text'.
    """

    kind: ClassVar[str]


class Annotation(Protocol):
    """What a data set says of an image."""

    def placed(self, size: Size, placed: Placed) -> Truth:
        """Of the image, of this height and width, where it was placed so.

        Raises:
            OnnxqError: it cannot be read, or does not go with an image of this size.
        """


class AnnotatedImages(ImageList):
    """Image files, each with an annotation; it has no class labels.

    Raises:
        OnnxqError: there are none.
    """

    def __init__(self, name: str, paths: Sequence[Path], annotations: Sequence[Annotation]) -> None:
        super().__init__(name, paths)
        self._annotations = annotations

    def truth(self, index: int, preprocessing: Preprocessing) -> Truth:
        """What is true of an image that was preprocessed so.

        Raises:
            OnnxqError: as ``Annotation.placed``.
        """
        try:
            with Image.open(self._paths[index]) as image:  # its size stands in front: nothing is decoded
                size = image.height, image.width
        except UNDECODABLE as error:
            raise OnnxqError(f"{self._paths[index]}: cannot be decoded ({error})") from error
        try:
            return self._annotations[index].placed(size, preprocessing.placed(size))
        except OnnxqError as error:
            raise OnnxqError(f"{self._paths[index]}: {error}") from error
