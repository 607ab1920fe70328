"""Observe(x): moments and a histogram of every channel, for calibration only.

    x            float32 [N, C, ...], channels second
    minimum      float32 [C]
    maximum      float32 [C]
    sum          float64 [C], of round(x / A * 2^30) * A * 2^-30
    sum_squares  float64 [C], of round((x / A)^2 * 2^30) * A^2 * 2^-30
    histogram    int32 [C, 256], the bins of ``onnxq.histogram``

A is the channel's anchor: the smallest power of four that is no smaller than any |x|. Rounding the terms
to a multiple of A * 2^-30 makes every partial sum exact in float64 (up to 2^22 values of the full range a
channel), so that the sums do not depend on the order of addition: kernels on any device and with any
number of threads agree bit for bit with the function body.

A channel with NaN or Inf in it has NaN for all four moments; its histogram counts such values as 0. An
empty channel has minimum = +Inf, maximum = -Inf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto

from onnxq.histogram import ANCHORS, BINS, HALF, anchor_of, bin_index
from onnxq.operators import parse_function

NAME = "Observe"
OUTPUTS = ("minimum", "maximum", "sum", "sum_squares", "histogram")

FIXED_POINT = 2.0**30

BODY = f"""
Observe (x) => (minimum, maximum, sum, sum_squares, histogram)
{{
    zero = Constant <value = float {{0.0}}> ()
    nan = Constant <value = float {{nan}}> ()
    shape = Shape (x)
    first = Constant <value = int64[1] {{0}}> ()
    second = Constant <value = int64[1] {{1}}> ()
    third = Constant <value = int64[1] {{2}}> ()
    end = Constant <value = int64[1] {{2147483647}}> ()
    batch = Slice (shape, first, second)
    channels = Slice (shape, second, third)
    inner = Slice (shape, third, end)
    inner_size = ReduceProd <keepdims: int = 1> (inner)
    planes_shape = Concat <axis: int = 0> (batch, channels, inner_size)
    planes = Reshape <allowzero: int = 1> (x, planes_shape)

    nothing = Sub (planes, planes)
    finite = Equal (nothing, zero)
    values = Where (finite, planes, zero)
    infinite = Not (finite)
    infinite32 = Cast <to: int = 1> (infinite)
    samples = Constant <value = int64[2] {{0, 2}}> ()
    infinite_count = ReduceSum <keepdims: int = 0> (infinite32, samples)
    bad = Greater (infinite_count, zero)
    lowest = ReduceMin <keepdims: int = 0> (values, samples)
    highest = ReduceMax <keepdims: int = 0> (values, samples)
    minimum = Where (bad, nan, lowest)
    maximum = Where (bad, nan, highest)

    low_reach = Abs (lowest)
    high_reach = Abs (highest)
    reach = Max (low_reach, high_reach)
    column = Constant <value = int64[2] {{-1, 1}}> ()
    reach_column = Reshape (reach, column)
    anchors = Constant <value = float[{len(ANCHORS)}] {{{", ".join(f"{a:.10e}" for a in ANCHORS)}}}> ()
    beyond = Greater (reach_column, anchors)
    beyond_count = Cast <to: int = 7> (beyond)
    anchor_axis = Constant <value = int64[1] {{1}}> ()
    anchor_rank = ReduceSum <keepdims: int = 0> (beyond_count, anchor_axis)
    largest = Constant <value = int64 {{{len(ANCHORS) - 1}}}> ()
    anchor_index = Min (anchor_rank, largest)
    anchor = Gather (anchors, anchor_index)
    channel_shape = Constant <value = int64[2] {{-1, 1}}> ()
    anchor_column = Reshape (anchor, channel_shape)
    scaled = Div (values, anchor_column)

    unit = Constant <value = double {{{FIXED_POINT:.1f}}}> ()
    anchor64 = Cast <to: int = 11> (anchor)
    scaled64 = Cast <to: int = 11> (scaled)
    fixed = Mul (scaled64, unit)
    term = Round (fixed)
    total = ReduceSum <keepdims: int = 0> (term, samples)
    total_units = Mul (total, anchor64)
    finite_sum = Div (total_units, unit)
    nan64 = Cast <to: int = 11> (nan)
    sum = Where (bad, nan64, finite_sum)
    square = Mul (scaled64, scaled64)
    fixed_square = Mul (square, unit)
    square_term = Round (fixed_square)
    square_total = ReduceSum <keepdims: int = 0> (square_term, samples)
    anchor_square = Mul (anchor64, anchor64)
    square_units = Mul (square_total, anchor_square)
    finite_sum_squares = Div (square_units, unit)
    sum_squares = Where (bad, nan64, finite_sum_squares)

    magnitude = Abs (scaled)
    root = Sqrt (magnitude)
    half = Constant <value = float {{{HALF}.0}}> ()
    spread = Mul (root, half)
    floor = Floor (spread)
    last = Constant <value = float {{{HALF - 1}.0}}> ()
    bin = Min (floor, last)
    negative = Less (scaled, zero)
    down = Sub (last, bin)
    up = Add (half, bin)
    place = Where (negative, down, up)
    place64 = Cast <to: int = 7> (place)
    begin = Constant <value = int64 {{0}}> ()
    step = Constant <value = int64 {{1}}> ()
    channel_count = Squeeze (channels)
    channel = Range (begin, channel_count, step)
    bins = Constant <value = int64 {{{BINS}}}> ()
    row_start = Mul (channel, bins)
    row_column = Reshape (row_start, channel_shape)
    slot = Add (place64, row_column)
    flat = Constant <value = int64[1] {{-1}}> ()
    slots = Reshape (slot, flat)
    slot_shape = Shape (slots)
    ones = ConstantOfShape <value = int32[1] {{1}}> (slot_shape)
    bins_vector = Reshape (bins, flat)
    slot_count = Mul (channels, bins_vector)
    empty = ConstantOfShape <value = int32[1] {{0}}> (slot_count)
    counts = ScatterElements <axis: int = 0, reduction: string = "add"> (empty, slots, ones)
    histogram_shape = Concat <axis: int = 0> (channels, bins_vector)
    histogram = Reshape <allowzero: int = 1> (counts, histogram_shape)
}}
"""


@dataclass(frozen=True)
class Observation:
    """What ``Observe`` says of one tensor; the fields are the operator's outputs."""

    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    sum: NDArray[np.float64]
    sum_squares: NDArray[np.float64]
    histogram: NDArray[np.int32]


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)


def observe(x: NDArray[np.float32]) -> Observation:
    """The oracle of ``Observe`` in numpy, bit for bit.

    Args:
        x: float32 [N, C, ...].
    """
    channels = x.shape[1]
    rows = np.moveaxis(x, 1, 0).reshape(channels, int(np.prod(x.shape)) // channels if channels else 0)
    finite = np.isfinite(rows)
    bad = ~finite.all(axis=1)
    rows = np.where(finite, rows, np.float32(0))
    lowest = rows.min(axis=1, initial=np.inf).astype(np.float32)
    highest = rows.max(axis=1, initial=-np.inf).astype(np.float32)
    anchor = anchor_of(lowest, highest)
    scaled = (rows / anchor[:, None]).astype(np.float64)
    anchor64 = anchor.astype(np.float64)
    histogram = np.zeros((channels, BINS), np.int32)
    np.add.at(histogram, (np.arange(channels)[:, None], bin_index(rows, anchor[:, None])), 1)
    sums = np.rint(scaled * FIXED_POINT).sum(axis=1) * anchor64 / FIXED_POINT
    sums_squares = np.rint(scaled * scaled * FIXED_POINT).sum(axis=1) * (anchor64 * anchor64) / FIXED_POINT
    return Observation(
        minimum=np.where(bad, np.float32(np.nan), lowest),
        maximum=np.where(bad, np.float32(np.nan), highest),
        sum=np.where(bad, np.nan, sums),
        sum_squares=np.where(bad, np.nan, sums_squares),
        histogram=histogram,
    )
