"""Observe(x): moments and a histogram of every channel, for calibration only.

    x            float32 [N, C, ...], channels second
    minimum      float32 [C]
    maximum      float32 [C]
    sum          float64 [C], of round(s * 2^25) * A * 2^-25, s = x / A in float32
    sum_squares  float64 [C], of round(s * s * 2^26) * A^2 * 2^-26, s * s in float32
    histogram    int32 [C, 256], the bins of ``onnxq.core.histogram``

A is the channel's anchor: the smallest power of four that is no smaller than any |x| (and 2^126 beyond that, with
s clamped to -1 .. 1). The terms of the sums are integers, so that the sums do not depend on the order of addition:
kernels on any device and with any number of threads agree bit for bit with the function body. Rounding the terms
costs the mean less than A * 2^-26, and the mean square less than A^2 * 2^-27.

A channel with NaN or Inf in it has NaN for all four moments; its histogram counts such values as 0. An
empty channel has minimum = +Inf, maximum = -Inf. The numpy reference is ``onnxq.core.observation.observe``.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.core.histogram import ANCHORS, BINS, HALF
from onnxq.core.observation import SQUARE_UNIT, SUM_UNIT
from onnxq.operators import parse_function

NAME = "Observe"
OUTPUTS = ("minimum", "maximum", "sum", "sum_squares", "histogram")

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
    unclamped = Div (values, anchor_column)
    full = Constant <value = float {{1.0}}> ()
    minus_full = Constant <value = float {{-1.0}}> ()
    scaled = Clip (unclamped, minus_full, full)

    anchor64 = Cast <to: int = 11> (anchor)
    nan64 = Cast <to: int = 11> (nan)
    sum_unit = Constant <value = float {{{SUM_UNIT:.1f}}}> ()
    sum_unit64 = Cast <to: int = 11> (sum_unit)
    in_sum_units = Mul (scaled, sum_unit)
    term = Round (in_sum_units)
    term64 = Cast <to: int = 11> (term)
    total = ReduceSum <keepdims: int = 0> (term64, samples)
    total_units = Mul (total, anchor64)
    finite_sum = Div (total_units, sum_unit64)
    sum = Where (bad, nan64, finite_sum)
    square_unit = Constant <value = float {{{SQUARE_UNIT:.1f}}}> ()
    square_unit64 = Cast <to: int = 11> (square_unit)
    square = Mul (scaled, scaled)
    in_square_units = Mul (square, square_unit)
    square_term = Round (in_square_units)
    square_term64 = Cast <to: int = 11> (square_term)
    square_total = ReduceSum <keepdims: int = 0> (square_term64, samples)
    anchor_square = Mul (anchor64, anchor64)
    square_units = Mul (square_total, anchor_square)
    finite_sum_squares = Div (square_units, square_unit64)
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


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)
