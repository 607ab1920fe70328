"""How an image is brought to the size that a network wants, before it is cropped. A part of ``data``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image

from onnxq.errors import OnnxqError

MOST_PIXELS = 64 * 10**6  # of an image that is resized
GREY = 114  # around what is letterboxed, as YOLO has it
Size = tuple[int, int]  # height, width
Resampling = Image.Resampling


@dataclass(frozen=True)
class Placed:
    """Where a whole image comes to lie: images, masks and boxes follow it alike.

    Attributes:
        inner: height and width that it is resized to.
        corner: top and left of that in the frame; negative where a crop cuts it.
        frame: height and width of the result.
    """

    inner: Size
    corner: Size
    frame: Size

    def cropped(self, side: int) -> Placed:
        """The same, and the centre of this side cut out."""
        height, width = self.frame
        top, left = round((height - side) / 2), round((width - side) / 2)
        return Placed(self.inner, (self.corner[0] - top, self.corner[1] - left), (side, side))

    def drawn(self, image: Image.Image, how: Resampling, around: int = GREY) -> Image.Image:
        """An image so placed; ``around`` is the value of every pixel that it does not cover."""
        height, width = self.inner
        if height * width > MOST_PIXELS:
            raise OnnxqError(f"an image of {image.width} x {image.height} would become one of {width} x {height}")
        resized = image if image.size == (width, height) else image.resize((width, height), how)
        if self.inner == self.frame and self.corner == (0, 0):
            return resized
        bands = len(image.getbands())
        made = Image.new(image.mode, (self.frame[1], self.frame[0]), around if bands == 1 else (around,) * bands)
        made.paste(resized, (self.corner[1], self.corner[0]))
        return made


def short_side(image: Size, size: Size) -> Placed:
    """The short side as asked for, the other one in proportion, as torchvision has it."""
    want = min(size)
    if min(image) == want:
        return Placed(image, (0, 0), image)
    long = int(want * max(image) / min(image))  # torchvision truncates
    inner = (long, want) if image[1] == min(image) else (want, long)
    return Placed(inner, (0, 0), inner)


def stretched(image: Size, size: Size) -> Placed:
    """Both sides as asked for."""
    return Placed(size, (0, 0), size)


def letterboxed(image: Size, size: Size) -> Placed:
    """The whole image within the size, in proportion, in the middle of grey."""
    share = min(size[1] / image[1], size[0] / image[0])
    inner = max(round(image[0] * share), 1), max(round(image[1] * share), 1)
    return Placed(inner, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2), size)


def in_corner(image: Size, size: Size) -> Placed:
    """The same, at the top left, as YOLOX has it."""
    return replace(letterboxed(image, size), corner=(0, 0))


def of_height(image: Size, size: Size) -> Placed:
    """The height as asked for, the width in proportion: lines of text."""
    inner = size[0], max(round(image[1] * size[0] / image[0]), 1)
    return Placed(inner, (0, 0), inner)


@dataclass(frozen=True)
class Fit:
    """A way to bring images to a size.

    Attributes:
        place: says where an image of a size comes to lie. frames: the size asked for is that of a frame, height and
            width, which a network can fix. fills_width: images become as wide as it; else their width follows from
            their height.
    """

    place: Callable[[Size, Size], Placed]
    frames: bool = True
    fills_width: bool = True


FITS = {
    "short": Fit(short_side, frames=False),
    "stretch": Fit(stretched),
    "letterbox": Fit(letterboxed),
    "corner": Fit(in_corner),
    "height": Fit(of_height, fills_width=False),
}
