"""Preprocessing of images: it travels in the model's metadata, in the keys below, each a JSON value.

input_size     [channels, height, width]
resize         in pixels: one number, or height and width; or null
fit            what becomes that size: 'short' (the short side), 'stretch', 'letterbox', 'corner' or 'height'
crop           side of the centre crop in pixels, or null
scale          what pixels of 0 .. 255 are multiplied by first
mean, std      per channel, of scaled pixels
interpolation  'bilinear' or 'bicubic'
color          order of channels, 'rgb' or 'bgr'
layout         of batches, 'nchw' or 'nhwc'

A part of ``data``, read by the command line and written by ``export``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.core.checks import number, one_of
from onnxq.data.fitting import FITS, Placed, Size
from onnxq.errors import OnnxqError

LARGEST = 8192  # pixels a side
TO_ONE = 1 / 255
COLORS = ("rgb", "bgr")
LAYOUTS = ("nchw", "nhwc")
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _sequence(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (None,)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input; the defaults are ImageNet's."""

    input_size: tuple[int, int, int] = (3, 224, 224)
    resize: int | tuple[int, int] | None = 256
    crop: int | None = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    fit: str = "short"
    scale: float = TO_ONE
    color: str = "rgb"
    layout: str = "nchw"

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
                if name in ("color", "layout") and isinstance(value, str):
                    value = value.lower()  # others write RGB and NCHW
                fields[name] = tuple(value) if isinstance(value, list) else value
        return replace(Preprocessing(), **fields).checked()

    def to_metadata(self) -> dict[str, str]:
        """As metadata_props."""
        values = {name: value for name, value in asdict(self).items() if name in ALWAYS or value != DEFAULTS[name]}
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}

    def checked(self) -> Preprocessing:
        """Itself, if it makes sense.

        Raises:
            OnnxqError: it does not.
        """
        if not isinstance(self.interpolation, str):
            raise OnnxqError("preprocessing: `interpolation` must be a word")
        numbers = [*_sequence(self.input_size), *_sequence(self.mean), *_sequence(self.std)]
        resize = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        sizes = [size for size in (*resize, self.crop) if size is not None]
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
        problems = [
            *one_of("interpolation", self.interpolation, tuple(_FILTERS)),
            *one_of("fit", self.fit, tuple(FITS)),
            *one_of("color", self.color, COLORS),
            *one_of("layout", self.layout, LAYOUTS),
            *number("scale", self.scale, 1e-9, 1e9),
        ]
        if len(resize) not in (1, 2) or (len(resize) == 2 and None in resize):
            problems.append("`resize` must be one number, or height and width")
        if problems:
            raise OnnxqError(f"preprocessing: {problems[0]}")
        return self

    def for_shape(self, shape: Sequence[object]) -> Preprocessing:
        """The same for a network whose input has this shape, where sizes are made to fit: what it fixes is the size.

        Where it fixes the width, too, images are not brought to a height alone: they are stretched. A crop that follows
        is left as it is.
        """
        if len(shape) != 4 or not FITS[self.fit].frames or not isinstance(self.resize, tuple) or self.crop is not None:
            return self
        fixed = self.fixed_by(shape)
        height, width = (own if size is None else size for size, own in zip(fixed, self.resize, strict=True))
        fit = self.fit if FITS[self.fit].fills_width or fixed[1] is None else "stretch"
        return replace(self, fit=fit, resize=(height, width), input_size=(self.input_size[0], height, width))

    def fixed_by(self, shape: Sequence[object]) -> tuple[int | None, int | None]:
        """Height and width that a network whose input has this shape fixes; None each where they are free."""
        if len(shape) != 4:
            return None, None
        height, width = (
            size if isinstance(size, int) and size > 0 else None
            for size in (shape[2:4] if self.layout == "nchw" else shape[1:3])
        )
        return height, width

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width that images become; None each where it depends on the image."""
        if self.crop is not None:
            return self.crop, self.crop
        fit = FITS[self.fit]
        if not fit.frames or not isinstance(self.resize, tuple):
            return None, None
        return self.resize[0], self.resize[1] if fit.fills_width else None

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop, as torchvision does with PIL images: uint8 [H, W, channels]."""
        image = image.convert("RGB" if self.input_size[0] == 3 else "L")
        image = self._resized((image.height, image.width)).drawn(image, _FILTERS[self.interpolation])
        if self.crop is not None:
            left, top = round((image.width - self.crop) / 2), round((image.height - self.crop) / 2)
            image = image.crop((left, top, left + self.crop, top + self.crop))
        array = np.asarray(image)
        array = array.reshape(*array.shape[:2], -1)
        return np.ascontiguousarray(array[..., ::-1]) if self.color == "bgr" else array

    def placed(self, size: Size) -> Placed:
        """Where an image of this height and width comes to lie in the network's input."""
        placed = self._resized(size)
        return placed if self.crop is None else placed.cropped(self.crop)

    def _resized(self, size: Size) -> Placed:
        if self.resize is None:
            return Placed(size, (0, 0), size)
        return FITS[self.fit].place(size, self.resize if isinstance(self.resize, tuple) else (self.resize,) * 2)

    def normalize(self, pixels: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """uint8 [H, W, channels] into float32 [channels, H, W]: (x * scale - mean) / std."""
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            plane = out[channel]
            if self.scale == TO_ONE:  # exactly what torchvision computes
                np.divide(pixels[..., channel], np.float32(255), out=plane)
            else:
                np.multiply(pixels[..., channel], np.float32(self.scale), out=plane)
            plane -= np.float32(mean)
            plane /= np.float32(std)


DEFAULTS = asdict(Preprocessing())
KEYS = tuple(DEFAULTS)  # of metadata; those of what is as usual are left out
ALWAYS = ("input_size", "resize", "crop", "mean", "std", "interpolation")  # what the first version knew
