"""How an image is brought to the size that a network wants, before it is cropped. A part of ``data``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from onnxq.errors import OnnxqError

MOST_PIXELS = 64 * 10**6  # of an image that is resized
GREY = 114  # around what is letterboxed, as YOLO has it
Size = tuple[int, int]  # height, width
Resampling = Image.Resampling


def _resized(image: Image.Image, size: Size, how: Resampling) -> Image.Image:
    height, width = size
    if height * width > MOST_PIXELS:
        raise OnnxqError(f"an image of {image.width} x {image.height} would become one of {width} x {height}")
    return image if image.size == (width, height) else image.resize((width, height), how)


def short_side(image: Image.Image, size: Size, how: Resampling) -> Image.Image:
    """The short side as asked for, the other one in proportion, as torchvision has it."""
    want = min(size)
    if min(image.size) == want:
        return image
    long = int(want * max(image.size) / min(image.size))  # torchvision truncates
    return _resized(image, (long, want) if image.width == min(image.size) else (want, long), how)


def stretched(image: Image.Image, size: Size, how: Resampling) -> Image.Image:
    """Both sides as asked for."""
    return _resized(image, size, how)


def letterboxed(image: Image.Image, size: Size, how: Resampling) -> Image.Image:
    """The whole image within the size, in proportion, in the middle of grey."""
    height, width = size
    share = min(width / image.width, height / image.height)
    inner = max(round(image.height * share), 1), max(round(image.width * share), 1)
    made = Image.new(image.mode, (width, height), (GREY,) * len(image.getbands()))
    made.paste(_resized(image, inner, how), ((width - inner[1]) // 2, (height - inner[0]) // 2))
    return made


def of_height(image: Image.Image, size: Size, how: Resampling) -> Image.Image:
    """The height as asked for, the width in proportion: lines of text."""
    height = size[0]
    return _resized(image, (height, max(round(image.width * height / image.height), 1)), how)


@dataclass(frozen=True)
class Fit:
    """A way to bring images to a size.

    Attributes:
        apply: does it. frames: the size is that of a frame, height and width, which a network can fix.
    """

    apply: Callable[[Image.Image, Size, Resampling], Image.Image]
    frames: bool = True


FITS = {
    "short": Fit(short_side, frames=False),
    "stretch": Fit(stretched),
    "letterbox": Fit(letterboxed),
    "height": Fit(of_height),
}
