"""Masks: the class of each pixel, in an image file beside each image. A part of ``data``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.data.annotations.annotated import AnnotatedImages
from onnxq.data.datasets.base import BadImageError, Purpose
from onnxq.data.datasets.folder import SUFFIXES, decoded_image, files_below
from onnxq.data.fitting import Placed, Size
from onnxq.errors import OnnxqError

IGNORED = 255  # a pixel of no class, as VOC has it
FOLDERS = (("images", "masks"), ("JPEGImages", "SegmentationClass"), ("images", "annotations"))
ONE_BYTE = ("L", "P", "1")


@dataclass(frozen=True)
class Mask:
    """The class of each pixel of the network's input: uint8 [H, W]; 255 where there is none."""

    kind: ClassVar[str] = "masks"

    classes: NDArray[np.uint8]


@dataclass(frozen=True)
class MaskFile:
    """A file of class numbers: grey, or with a palette."""

    path: Path

    def placed(self, size: Size, placed: Placed) -> Mask:
        """As ``Annotation.placed``, by the nearest pixel; what the image does not cover is of no class."""
        try:
            image = decoded_image(self.path, str(self.path))
        except BadImageError as error:
            raise OnnxqError(str(error)) from error
        if image.mode not in ONE_BYTE:
            raise OnnxqError(f"{self.path}: a mask has a class number a pixel (grey or palette), not {image.mode}")
        if (image.height, image.width) != size:
            raise OnnxqError(
                f"{self.path}: a mask of {image.width} x {image.height} for an image of {size[1]} x {size[0]}"
            )
        numbers = Image.fromarray(np.asarray(image).astype(np.uint8))
        return Mask(np.asarray(placed.drawn(numbers, Image.Resampling.NEAREST, IGNORED)))


def open_masks(spec: str, purpose: Purpose) -> AnnotatedImages:
    """A folder of two folders, ``images`` and ``masks`` (or as VOC calls them), of files with equal names.

    Masks without an image, and images without a mask, are left out.

    Raises:
        OnnxqError: there are no such folders, or no pairs.
    """
    root = Path(spec)
    found = next(((root / a, root / b) for a, b in FOLDERS if (root / a).is_dir() and (root / b).is_dir()), None)
    if found is None:
        raise OnnxqError(f"{spec}: masks are read from a folder with the folders `images` and `masks`")
    images, masks = found
    by_name = {
        path.relative_to(masks).with_suffix(""): path for path in files_below(masks) if path.suffix.lower() == ".png"
    }
    pictures = [path for path in files_below(images) if path.suffix.lower() in SUFFIXES]
    pairs = [
        (path, by_name[name]) for path in pictures if (name := path.relative_to(images).with_suffix("")) in by_name
    ]
    if not pairs:
        raise OnnxqError(f"{masks}: no mask (.png) is called like an image of {images}")
    return AnnotatedImages(spec, [path for path, _ in pairs], [MaskFile(mask) for _, mask in pairs])
