"""Preprocessing of images: it travels in the model's metadata, in the keys below, each a JSON value.

input_size     [channels, height, width]
resize         short side in pixels, or null
crop           side of the centre crop in pixels, or null
mean, std      per channel, of pixels scaled to 0 .. 1
interpolation  'bilinear' or 'bicubic'

A part of ``data``, read by the command line and written by ``export``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.errors import OnnxqError

MOST_PIXELS = 64 * 10**6  # of an image, decoded or resized
LARGEST = 8192  # pixels a side
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _sequence(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (None,)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input; the defaults are ImageNet's."""

    input_size: tuple[int, int, int] = (3, 224, 224)
    resize: int | None = 256
    crop: int | None = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    @staticmethod
    def from_metadata(values: Mapping[str, str]) -> Preprocessing | None:
        """Read metadata_props; None where there is no preprocessing in them.

        Raises:
            OnnxqError: a value is not what it should be.
        """
        if "mean" not in values or "std" not in values:
            return None
        fields: dict[str, Any] = {}
        for name in Preprocessing.__dataclass_fields__:
            if name in values:
                text = values[name]
                try:
                    value = json.loads(text)
                except (ValueError, RecursionError):  # ValueError: a number of thousands of digits, too
                    value = text  # a bare word
                fields[name] = tuple(value) if isinstance(value, list) else value
        return replace(Preprocessing(), **fields).checked()

    def to_metadata(self) -> dict[str, str]:
        """As metadata_props."""
        texts = {name: json.dumps(value) for name, value in asdict(self).items()}
        return {**texts, "interpolation": self.interpolation}

    def checked(self) -> Preprocessing:
        """Itself, if it makes sense.

        Raises:
            OnnxqError: it does not.
        """
        if not isinstance(self.interpolation, str):
            raise OnnxqError("preprocessing: `interpolation` must be a word")
        numbers = [*_sequence(self.input_size), *_sequence(self.mean), *_sequence(self.std)]
        sizes = [size for size in (self.resize, self.crop) if size is not None]
        if not all(isinstance(value, (int, float)) and -1e9 < value < 1e9 for value in numbers) or not all(
            isinstance(size, int) and 0 < size <= LARGEST for size in sizes
        ):
            raise OnnxqError(
                f"preprocessing must be given in numbers up to {LARGEST}, a list of three for each of size, mean, std: "
                f"{self!s:.200}"
            )
        channels = self.input_size[0] if len(self.input_size) == 3 else 0
        if channels not in (1, 3) or len(self.mean) != channels or len(self.std) != channels or 0 in self.std:
            raise OnnxqError(
                f"preprocessing does not fit together: size {self.input_size}, mean {self.mean}, std {self.std}"
            )
        if self.interpolation not in _FILTERS:
            raise OnnxqError(f"unknown interpolation {self.interpolation!r}; use {' or '.join(_FILTERS)}")
        return self

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop, as torchvision does with PIL images: uint8 [H, W, channels]."""
        image = image.convert("RGB" if self.input_size[0] == 3 else "L")
        if self.resize is not None and min(image.size) != self.resize:
            short, long = min(image.size), int(self.resize * max(image.size) / min(image.size))  # torchvision truncates
            size = (self.resize, long) if image.width == short else (long, self.resize)
            if size[0] * size[1] > MOST_PIXELS:
                raise OnnxqError(
                    f"an image of {image.width} x {image.height} would become one of {size[0]} x {size[1]}"
                )
            image = image.resize(size, _FILTERS[self.interpolation])
        if self.crop is not None:
            left, top = round((image.width - self.crop) / 2), round((image.height - self.crop) / 2)
            image = image.crop((left, top, left + self.crop, top + self.crop))
        array = np.asarray(image)
        return array.reshape(*array.shape[:2], -1)

    def normalize(self, pixels: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """uint8 [H, W, channels] into float32 [channels, H, W]: (x / 255 - mean) / std."""
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            plane = out[channel]
            np.divide(pixels[..., channel], np.float32(255), out=plane)
            plane -= np.float32(mean)
            plane /= np.float32(std)
