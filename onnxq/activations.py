"""The grid of an activation: its range by one of the schemes, its bits by the allocation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxq import published
from onnxq.allocation import WIDTHS, allocate_by_error
from onnxq.clipping.aciq import gauss_multiplier, laplace_multiplier
from onnxq.clipping.entropy import entropy_threshold
from onnxq.clipping.expected import expected_squared_error
from onnxq.clipping.interval import clip_interval
from onnxq.clipping.mse import mse_interval
from onnxq.clipping.percentile import magnitude_percentile, percentile_interval
from onnxq.clipping.threshold import histogram_threshold
from onnxq.grids.apot import levels_of
from onnxq.grids.codebook import CodebookGrid
from onnxq.grids.fixed_point import FixedPointGrid, grid_from_reach
from onnxq.grids.mid_tread import MidTreadGrid
from onnxq.grids.uniform import UniformGrid, grid_from_range
from onnxq.recipe import Recipe
from onnxq.statistics import TensorStatistics

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]
Interval = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Seen:
    """What is known of an activation, as [C] channels or as one.

    Attributes:
        own: statistics of the tensor itself.
        before: of the tensor before its ReLU, if that is what made it.
        half: it cannot be negative: all levels are spent from zero up.
        moving: moving average over batches of a percentile of |x|, float64 [C], if that was calibrated.
    """

    own: TensorStatistics
    before: TensorStatistics | None
    half: bool
    moving: FloatArray | None = None

    @property
    def channels(self) -> int:
        return len(self.own.minimum)

    @property
    def limits(self) -> Interval:
        """The range seen; from zero in a half range."""
        minimum = np.zeros(self.channels) if self.half else self.own.minimum.astype(np.float64)
        return minimum, self.own.maximum.astype(np.float64)

    @property
    def reach(self) -> FloatArray:
        """The largest magnitude seen, float64 [C]."""
        return self.own.reach

    @property
    def anchor(self) -> FloatArray:
        """The unit of the histogram, in float64."""
        return self.own.anchor.astype(np.float64)

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(mean, b, sigma) of the density that clipping assumes: that before the ReLU where there is one.

        A non-negative tensor without such a one (behind pooling or Concat) shows the positive half of a density centred
        at zero: E[x | x > 0] is b for Laplace, sigma * sqrt(2 / pi) for Gauss.
        """
        if self.half and self.before is None:
            b = self.own.mean_of_positive
            return np.zeros(self.channels), b, b * np.sqrt(np.pi / 2)
        source = self.before or self.own
        return source.mean, source.b, source.std

    @property
    def spread(self) -> FloatArray:
        """sigma before the ReLU, by which the published allocation goes."""
        return (self.before or self.own).std


def uniform_grid(seen: Seen, bits: BitArray, recipe: Recipe) -> UniformGrid:
    """The grid over the range that the recipe's scheme chooses; a channel of no bits is its mean.

    Args:
        bits: int32 [C] (or [1] for a tensor taken as one channel), 0 to 8.
    """
    if recipe.target == "tensorrt":
        return signed_grid(seen, recipe)
    lower, upper = interval(seen, bits, recipe)
    if recipe.format == "qdq":  # an integer type's zero point must be one of its codes
        lower, upper = np.minimum(lower, 0), np.maximum(upper, 0)
    mean = seen.own.mean
    return grid_from_range(np.where(bits == 0, mean, lower), np.where(bits == 0, mean, upper), bits)


def signed_grid(seen: Seen, recipe: Recipe) -> UniformGrid:
    """The symmetric 8-bit grid of signed codes, -128 .. 127 with the zero point 0 (here: 0 .. 255 around 128).

    Of a tensor that cannot be negative half of the codes are lost: its range is chosen for 7 bits.
    """
    lower, upper = interval(seen, np.full(seen.channels, 7 if seen.half else 8, np.int32), recipe)
    reach = np.maximum(np.abs(lower), np.abs(upper))
    scale = np.where(reach > 0, np.maximum(reach / 127, np.finfo(np.float32).tiny), 1).astype(np.float32)
    return UniformGrid(scale, np.full_like(scale, 128), np.full(len(scale), 8, np.int32))


def allocate_bits(seen: Seen, bits: float, importance: FloatArray, recipe: Recipe) -> BitArray:
    """Bits for each channel: every bit goes where it removes most of the error that the layers will see.

    Args:
        bits: the mean width. importance: float64 [C], by how much the layers multiply a channel's squared error.

    Returns:
        int32 [C].
    """
    if recipe.published:
        return published.allocate(seen.spread, bits)
    error = np.empty((seen.channels, WIDTHS))
    for width in range(WIDTHS):
        widths = np.full(seen.channels, width, np.int32)
        grid = uniform_grid(seen, widths, recipe)
        error[:, width] = expected_squared_error(seen.own.histogram, seen.anchor, grid)
    return allocate_by_error(error * importance[:, None], bits)


def symmetric_grid(seen: Seen, bits: int, recipe: Recipe) -> MidTreadGrid:
    """The narrow symmetric grid, codes -(2^(bits - 1) - 1) .. 2^(bits - 1) - 1, over the scheme's range."""
    top = np.float32(2 ** (bits - 1) - 1)

    def at(reach: FloatArray) -> MidTreadGrid:
        scale = np.maximum(reach / top, np.finfo(np.float32).eps).astype(np.float32)
        return MidTreadGrid(scale, np.array([-top]), np.array([top]))

    if recipe.moving_average:
        assert seen.moving is not None
        return at(np.minimum(seen.moving, seen.reach))
    if recipe.scheme == "percentile":
        return at(magnitude_percentile(seen.own.histogram, seen.anchor, seen.reach, recipe.percentile))
    if recipe.scheme == "minmax":
        return at(seen.reach)
    return at(histogram_threshold(seen.own.histogram, seen.anchor, seen.reach, at))


def powers_grid(seen: Seen, bits: int, recipe: Recipe, alpha: float | None) -> CodebookGrid:
    """(Additive) powers of two up to a threshold: a given one, or that of the smallest expected error."""
    levels = levels_of(recipe.scheme, bits, signed=not seen.half)
    if alpha is not None:
        return CodebookGrid(np.array([alpha], np.float32), levels)

    def at(threshold: FloatArray) -> CodebookGrid:
        usable = threshold >= np.finfo(np.float32).tiny
        return CodebookGrid(np.where(usable, threshold, 1.0).astype(np.float32), levels)

    return at(histogram_threshold(seen.own.histogram, seen.anchor, seen.reach, at))


def fixed_point_grid(seen: Seen, bits: int, recipe: Recipe) -> FixedPointGrid:
    """The format whose integer bits hold all but the overflow rate of the magnitudes seen."""
    kept = 100 * (1 - recipe.overflow_rate)
    reach = magnitude_percentile(seen.own.histogram, seen.anchor, seen.reach, kept) if kept < 100 else seen.reach
    return grid_from_reach(reach, bits, recipe.rounding, recipe.overflow, published=recipe.published)


def interval(seen: Seen, bits: BitArray, recipe: Recipe) -> Interval:
    """[lower, upper] of each channel, float64, never beyond the values seen (but for ``recipe.published``)."""
    if recipe.scheme == "aciq":
        return _best_prior(seen, bits, recipe)
    return _SCHEMES[recipe.scheme](seen, bits, recipe)


def clipping_multiplier(scheme: str, bits: BitArray, half: bool, recipe: Recipe) -> FloatArray:
    """alpha / b (``aciq-laplace``) or alpha / sigma (``aciq-gauss``, ``std``) for each width, float64.

    With all bins on one side the optimum is that of one more bit.
    """
    if scheme == "std":
        return np.full(bits.shape, recipe.std_multiplier)
    if recipe.published:
        tables = {"aciq-laplace": (published.LAPLACE, published.LAPLACE_HALF)}
        signed, positive = tables.get(scheme, (published.GAUSS, published.GAUSS_HALF))
        return np.array(positive if half else signed)[bits]
    exact = laplace_multiplier if scheme == "aciq-laplace" else gauss_multiplier
    return np.array([exact(float(width) + half) for width in range(WIDTHS)])[bits]


def _clipped(seen: Seen, bits: BitArray, recipe: Recipe, scheme: str) -> Interval:
    """Around the mean, at a multiple of the spread (Banner et al. 2019, section 3)."""
    mean, b, std = seen.moments()
    if recipe.published and scheme == "aciq-gauss" and len(np.unique(bits)) > 1:
        bits = np.full(
            bits.shape, int(recipe.bits_of_activation(False)), np.int32
        )  # only Laplace follows the width of each channel
    alpha = clipping_multiplier(scheme, bits, seen.half, recipe) * (b if scheme == "aciq-laplace" else std)
    minimum, maximum = seen.limits
    smallest = (seen.before or seen.own).minimum.astype(np.float64)
    lower, upper = clip_interval(alpha, mean, smallest, seen.half)
    if recipe.published:
        return lower, upper
    return np.clip(lower, minimum, maximum), np.clip(upper, minimum, maximum)


def _best_prior(seen: Seen, bits: BitArray, recipe: Recipe) -> Interval:
    """Of Laplace, Gauss and the full range the one whose expected error on the histogram is smallest."""
    candidates = [_clipped(seen, bits, recipe, scheme) for scheme in ("aciq-laplace", "aciq-gauss")]
    candidates.append(seen.limits)
    error = [
        expected_squared_error(seen.own.histogram, seen.anchor, grid_from_range(lower, upper, bits))
        for lower, upper in candidates
    ]
    best = np.argmin(error, axis=0)[None]
    lower, upper = (np.take_along_axis(np.stack(bounds), best, axis=0)[0] for bounds in zip(*candidates, strict=True))
    return lower, upper


def _minmax(seen: Seen, bits: BitArray, recipe: Recipe) -> Interval:
    return seen.limits


def _mse(seen: Seen, bits: BitArray, recipe: Recipe) -> Interval:
    return mse_interval(seen.own.histogram, seen.anchor, *seen.limits, bits)


def _percentile(seen: Seen, bits: BitArray, recipe: Recipe) -> Interval:
    return percentile_interval(seen.own.histogram, seen.anchor, *seen.limits, recipe.percentile)


def _entropy(seen: Seen, bits: BitArray, recipe: Recipe) -> Interval:
    minimum, maximum = seen.limits
    alpha = entropy_threshold(seen.own.histogram, seen.anchor, bits, seen.half)
    return np.clip(-alpha, minimum, maximum), np.clip(alpha, minimum, maximum)


_SCHEMES: dict[str, Callable[[Seen, BitArray, Recipe], Interval]] = {
    "minmax": _minmax,
    "mse": _mse,
    "histogram": _mse,
    "apot": _mse,  # of the edges
    "pot": _mse,
    "percentile": _percentile,
    "entropy": _entropy,
    **{
        scheme: lambda seen, bits, recipe, scheme=scheme: _clipped(seen, bits, recipe, scheme)  # type: ignore[misc]
        for scheme in ("aciq-laplace", "aciq-gauss", "std")
    },
}
