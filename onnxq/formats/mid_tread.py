"""The mid-tread format: scale * q, first <= q <= last. A format, of activations and of weights.

Published beside ACIQ, for codes of variable length: most are zero. A channel gets a number of bins instead of bits;
2^bits is their mean, so that bits can be any number. (As published, n bins have n + 1 levels: both ends of the range
are on the grid.) Bins go to the channels in proportion to sigma^(2/3). Weights keep their full range; activations are
clipped by ACIQ for Laplace, whose multiplier is that of log2(bins). All layers have the same bits, the first and the
last included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.aciq import laplace_multiplier
from onnxq.core.observed import Observed
from onnxq.core.operator_call import SUBJECT, OperatorCall
from onnxq.core.shapes import CHANNEL_AXIS, broadcastable
from onnxq.core.spread import spread_of
from onnxq.formats.affine import AffineParams
from onnxq.formats.base import FORMATS, Format, RangeRule
from onnxq.formats.expected import OnHistograms, Steps

FloatArray = NDArray[np.float32]
Bins = NDArray[np.float64]
EXACT = 1e-9  # of a code: what is nearer to a whole number is one
MAX_BINS = 254.0  # codes of packed weights have 8 bits, and rounding of both ends can take one more


@dataclass(frozen=True)
class MidTreadParams(OnHistograms):
    """Parameters of a whole tensor (arrays of one value) or of each of its channels.

    Attributes:
        scale: float32 [C] or [1], positive.
        first, last: float32 [C] or [1], the outermost codes. Integral but for the published arithmetic, whose outermost
            levels lie off the grid.
    """

    scale: FloatArray
    first: FloatArray
    last: FloatArray

    def fake_quantize(self, x: FloatArray, axis: int) -> FloatArray:
        """As the function of this name."""
        return fake_quantize(x, self, axis)

    def grid(self) -> Steps:
        """As ``OnHistograms.grid``."""
        return Steps(self.scale.astype(np.float64), self.first.astype(np.float64), self.last.astype(np.float64))

    def quantizer_calls(self, rank: int) -> list[OperatorCall]:
        """The node that quantizes and dequantizes an activation of this rank."""
        fields = {name: getattr(self, name) for name in ("scale", "first", "last")}
        constants = {name: broadcastable(value, rank, CHANNEL_AXIS) for name, value in fields.items()}
        return [OperatorCall("FakeQuantizeMidTread", {"x": SUBJECT, **constants})]


def fake_quantize(x: FloatArray, params: MidTreadParams, axis: int) -> FloatArray:
    """clamp(round_half_even(x / scale), first, last) * scale: the oracle of ``FakeQuantizeMidTread``, float32.

    >>> params = MidTreadParams(np.float32([0.5]), np.float32([-1]), np.float32([2]))
    >>> fake_quantize(np.float32([-3, -0.3, 0.2, 0.8, 7]), params, axis=0)
    array([-0.5, -0.5,  0. ,  1. ,  1. ], dtype=float32)
    """
    scale, first, last = (broadcastable(p, x.ndim, axis) for p in (params.scale, params.first, params.last))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = np.rint(np.asarray(x, np.float32) / scale)
        return np.minimum(np.maximum(codes, first), last) * scale


def allocate_bins(spread: Bins, bits: float, limit: float = np.inf) -> Bins:
    """Whole numbers of bins, together floor(C * 2^bits), in proportion to spread^(2/3) by largest remainders.

    Args:
        spread: float64 [C]. bits: log2 of the mean number of bins. limit: the most that a channel gets; what is left
            goes to the others.

    >>> allocate_bins(np.array([1.0, 8.0]), 4)
    array([ 6., 26.])
    """
    share = np.maximum(spread, max(spread.max(initial=0) * 1e-9, 1e-300)) ** (2 / 3)
    budget = float(np.floor(len(spread) * min(2**bits, limit) + 1e-9))
    low, high = 0.0, budget / float(share.min(initial=1.0))
    for _ in range(200):  # the factor at which the clamped shares spend the budget
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(share * middle, limit).sum() < budget else (low, middle)
    real = np.minimum(share * high, limit)
    bins = np.floor(real + 1e-9)
    remainder = np.where(bins < limit, real - bins, -1)
    bins[np.argsort(-remainder, kind="stable")[: int(budget - bins.sum())]] += 1
    return bins


def _best(candidates: Sequence[MidTreadParams], observed: Observed) -> MidTreadParams:
    """Of each channel the parameters of the smallest expected squared error."""
    if len(candidates) == 1:
        return candidates[0]
    errors = [params.expected_squared_error(observed.histogram, observed.anchor) for params in candidates]
    best = np.argmin(errors, axis=0)
    fields = ([getattr(params, name) for params in candidates] for name in ("scale", "first", "last"))
    return MidTreadParams(*(np.choose(best, field) for field in fields))


@FORMATS.register("mid-tread")
@dataclass(frozen=True)
class MidTread(Format):
    """Any number of bins a channel, meant to be coded at variable length."""

    any_bits: ClassVar[bool] = True
    takes_rule: ClassVar[bool] = False
    uses_all_codes: ClassVar[bool] = False
    factors: ClassVar[tuple[float, ...]] = tuple(np.linspace(0.85, 1.15, 13).tolist())  # on the step

    @property
    def tells_mean(self) -> bool:
        """No: its outermost codes are not those of its levels."""
        return False

    def at_ends(self, bits: int | None, own: float) -> tuple[Format, float]:
        """The first and the last layer are like the others."""
        return self, own

    def published(self) -> Format:
        """The published arithmetic."""
        return FORMATS.parse("published-mid-tread")

    def fit_activation(self, observed: Observed, bits: float, rule: RangeRule) -> MidTreadParams:
        """Clipped at the Laplace threshold, full or half range (there from zero to above the mean, as published).

        The outermost codes are whole numbers, which moves the ends of the range (outwards: the published ones, between
        two codes, are symbols, too). Of steps a little finer and coarser each channel gets that of the smallest
        expected error.
        """
        bins, multiplier = self._activation_bins(observed, bits)
        mean, b, _ = observed.moments()
        centre = np.maximum(mean, 0) if observed.half else mean
        reach = centre + multiplier * b if observed.half else 2 * multiplier * b
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where((bins > 0) & (reach > 0), reach / bins, 1.0)
        constant = (bins == 0) | (reach <= 0)

        def at(factor: float) -> MidTreadParams:
            step = scale * factor
            first = np.zeros_like(step) if observed.half else centre / step - bins / 2
            last = bins + centre / step if observed.half else centre / step + bins / 2
            first, last = (np.where(bins > 0, code, 0) for code in (first, last))
            placed = self._placed(observed, step, first, last, constant)
            return MidTreadParams(*(array.astype(np.float32) for array in placed))

        return _best([at(factor) for factor in self.factors], observed)

    def fit_weight(self, rows: FloatArray, bits: float) -> AffineParams:
        """round(w / step), step = range / bins; at most 254 bins, so that codes have 8 bits.

        A channel of no bins or no width is its mean (published: zero).
        """
        bins = self._weight_bins(spread_of(rows), bits)
        reach = rows.max(axis=1).astype(np.float64) - rows.min(axis=1)
        step = np.where((bins > 0) & (reach > 0), reach / np.maximum(bins, 1), 0.0)
        used = step >= np.finfo(np.float32).tiny
        level = self._only_level(rows)
        step = np.where(used, step, np.where(level != 0, np.abs(level), 1.0)).astype(np.float32)
        codes = np.where(used[:, None], np.rint(rows / step[:, None]), np.sign(level)[:, None])
        first = codes.min(axis=1)
        width = np.ceil(np.log2(codes.max(axis=1) - first + 1)).astype(np.int32)
        return AffineParams(step, (-first).astype(np.float32), width)

    def _activation_bins(self, observed: Observed, bits: float) -> tuple[Bins, Bins]:
        """Bins of each channel, and alpha / b for so many."""
        bins = allocate_bins(observed.spread, bits)
        return bins, np.array([laplace_multiplier(np.log2(n) + observed.half) if n >= 1 else 0.0 for n in bins])

    def _weight_bins(self, spread: Bins, bits: float) -> Bins:
        return allocate_bins(spread, bits, MAX_BINS)

    def _placed(
        self, observed: Observed, scale: Bins, first: Bins, last: Bins, constant: NDArray[np.bool_]
    ) -> tuple[Bins, Bins, Bins]:
        """Whole outermost codes; the one level of a constant channel is its mean."""
        mean = observed.own.mean
        scale = np.where(constant & (mean != 0), np.abs(mean), scale)
        whole = np.floor(first + EXACT), np.ceil(last - EXACT)
        first, last = (np.where(constant, np.sign(mean), code) for code in whole)
        return scale, first, last

    def _only_level(self, rows: FloatArray) -> Bins:
        """What a channel of no bins is, float64 [C]."""
        mean = rows.mean(axis=1, dtype=np.float64)
        return np.where(np.abs(mean) < np.finfo(np.float32).tiny, 0.0, mean)
