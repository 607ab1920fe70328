"""The procedural demo data set: textured shapes in clutter, drawn from a seed.

A class is a pair (shape, texture): 10 shapes x 6 textures = 60 classes. Colour, pose,
background, clutter, an occluding bar and noise vary and carry no label. Nothing is
downloaded: image ``i`` of a split is a pure function of (split, i).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 64  # pixels, both ways
Field = NDArray[np.floating[Any]]  # one value a pixel, [SIZE, SIZE]

# A split is the first word of every image's seed: draws of different splits never meet.
SPLITS = {"train": 1, "calib": 2, "test": 3}
SPLIT_LENGTHS = {"train": 60_000, "calib": 1_024, "test": 2_000}

_AXIS = ((np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE) * 2 - 1
_Y, _X = np.meshgrid(_AXIS, _AXIS, indexing="ij")


def _regular_polygon(u: Field, v: Field, sides: int) -> Field:
    angle = np.arctan2(v, u)
    sector = 2 * np.pi / sides
    folded = np.abs((angle + np.pi) % sector - sector / 2)
    return np.hypot(u, v) * np.cos(folded) - np.cos(sector / 2)


def _star(u: Field, v: Field) -> Field:
    return np.hypot(u, v) - (0.68 + 0.36 * np.cos(5 * np.arctan2(v, u)))


def _cross(u: Field, v: Field) -> Field:
    long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return np.maximum(long - 1, short - 0.33)


def _crescent(u: Field, v: Field) -> Field:
    return np.maximum(np.hypot(u, v) - 1, 0.75 - np.hypot(u - 0.55, v))


def _heart(u: Field, v: Field) -> Field:
    lift = v * 1.15 + 0.15 - 0.75 * np.sqrt(np.abs(u) + 1e-6)
    return np.hypot(u, lift) - 0.88


# Each returns a value that is negative inside the shape, about one unit in radius.
SHAPES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": lambda u, v: np.hypot(u, v) - 0.9,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.75) - 0.25,
    "triangle": lambda u, v: _regular_polygon(u, v, 3),
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.8,
    "hexagon": lambda u, v: _regular_polygon(u, v, 6),
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "heart": _heart,
    "bar": lambda u, v: np.maximum(np.abs(u) - 1.05, np.abs(v) - 0.38),
}

# Each returns the share (0..1) of the second colour.
TEXTURES: dict[str, Callable[[Field, Field], Field]] = {
    "plain": lambda u, v: np.zeros_like(u),
    "stripes": lambda u, v: (np.sin(11 * u) > 0).astype(np.float32),
    "checks": lambda u, v: (np.sin(9 * u) * np.sin(9 * v) > 0).astype(np.float32),
    "dots": lambda u, v: (np.hypot((u * 2.2) % 1 - 0.5, (v * 2.2) % 1 - 0.5) < 0.3).astype(np.float32),
    "rings": lambda u, v: (np.sin(14 * np.hypot(u, v)) > 0).astype(np.float32),
    "fade": lambda u, v: np.clip(0.5 + 0.7 * u, 0, 1),
}

CLASSES = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)


def _coverage(distance: Field, sharpness: float) -> Field:
    """Soft 0..1 mask with an edge about one pixel wide."""
    return np.clip(0.5 - distance * sharpness, 0, 1)


def _pose(rng: np.random.Generator, radius: float, spread: float) -> tuple[Field, Field]:
    """Object coordinates of every pixel for a random position and rotation."""
    centre_x, centre_y = (rng.random(2) * 2 - 1) * spread
    angle = rng.random() * 2 * np.pi
    dx, dy = (_X - np.float32(centre_x)) / np.float32(radius), (_Y - np.float32(centre_y)) / np.float32(radius)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * dx + sin * dy, cos * dy - sin * dx


def _smooth_noise(rng: np.random.Generator) -> Field:
    """A field in 0..1 that varies over a quarter of the image, by bilinear upsampling of a 5x5 grid."""
    grid = rng.random((5, 5)).astype(np.float32)
    position = np.linspace(0, 3.999, SIZE, dtype=np.float32)
    low = position.astype(np.int64)
    share = position - low
    rows = grid[low] * (1 - share)[:, None] + grid[low + 1] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, low + 1] * share


def _start(split: str, index: int) -> tuple[np.random.Generator, int]:
    """The image's own random stream, and its class, which is the first draw."""
    rng = np.random.default_rng([SPLITS[split], index])
    return rng, int(rng.integers(len(CLASSES)))


def label(split: str, index: int) -> int:
    """Class of image ``index`` of ``split``, an index into ``CLASSES``."""
    return _start(split, index)[1]


def render(split: str, index: int) -> NDArray[np.uint8]:
    """Draw image ``index`` of ``split``: uint8 [64, 64, 3], RGB."""
    rng, number = _start(split, index)
    shape = list(SHAPES.values())[number // len(TEXTURES)]
    texture = list(TEXTURES.values())[number % len(TEXTURES)]

    def blend(base: Field, mask: Field, colour: Field) -> Field:
        return base + mask[..., None] * (colour - base)

    colours = rng.random((8, 3)).astype(np.float32)
    image = blend(np.broadcast_to(colours[0] * 0.8, (SIZE, SIZE, 3)), _smooth_noise(rng), colours[1] * 0.8)

    shapes = list(SHAPES.values())
    for clutter in range(3):  # small plain shapes behind the object
        radius = 0.08 + 0.14 * rng.random()
        u, v = _pose(rng, radius, 1.0)
        image = blend(image, _coverage(shapes[rng.integers(len(shapes))](u, v), radius * 32), colours[2 + clutter])

    radius = 0.48 + 0.24 * rng.random()
    u, v = _pose(rng, radius, 0.3)
    first, second = colours[5], colours[6]
    if np.abs(first - second).sum() < 1.0:  # the two colours of a texture must be tellable apart
        second = (first + 0.5) % 1
    surface = blend(np.broadcast_to(first, image.shape), texture(u, v), second)
    image = blend(image, _coverage(shape(u, v), radius * 32), surface)

    u, v = _pose(rng, 1.0, 0.7)
    width = 0.02 + 0.08 * rng.random()
    image = blend(image, _coverage(np.abs(u) - width, 32.0), colours[7])  # a bar in front of it

    gain, noise = 0.7 + 0.5 * rng.random(), 0.02 + 0.06 * rng.random()
    image = image * np.float32(gain) + np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
