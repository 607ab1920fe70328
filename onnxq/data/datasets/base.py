"""What a data set is to onnxq: a length, and images that can be had by number."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Purpose = Literal["calib", "test"]


class Dataset(Protocol):
    """Images, with labels or without.

    Attributes:
        class_count: 0 where images have no labels.
        in_memory: what images are made of lies in memory, of which processes that decode would each have a copy.
    """

    name: str
    class_count: int
    in_memory: bool

    def __len__(self) -> int:
        """Number of images."""

    def label(self, index: int) -> int:
        """Class index of an image."""

    def image(self, index: int) -> Image.Image | NDArray[np.float32]:
        """An image, or a float32 array [channels, H, W] that is preprocessed already.

        Raises:
            BadImageError: it cannot be decoded.
        """

    def stamp(self, index: int) -> str | None:
        """A text that changes when the image does; None where images lie decoded in memory."""


class BadImageError(Exception):
    """An image cannot be decoded; the message names it."""
