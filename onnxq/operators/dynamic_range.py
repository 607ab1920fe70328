"""DynamicRange(x, axes, bits, b_multiplier, std_multiplier, half, rectified, limit): the grid of the current batch.

    x               float32 [any shape], the tensor to quantize, or that before its ReLU
    axes            int64 [n], what a range is taken over: all axes, or all but the channels
    bits            int32, a scalar or one value a channel in a shape that broadcasts against x
    b_multiplier    float32, likewise: alpha / b, zero where sigma counts
    std_multiplier  float32, likewise: alpha / sigma, zero where b counts
    half            bool scalar: the range starts at zero
    rectified       bool scalar: x itself has been through a ReLU, its density is taken as the half of one around zero
    limit           float32 scalar: what values are clamped to before they are quantized, +Inf for none
    scale           float32, one value for each range, all axes kept
    zero_point      float32, likewise, integral

With mean, b = E|x - mean| and sigma (n - 1 in its denominator) over ``axes`` (rectified: 0, E[x | x > 0] and that times
sqrt(pi / 2)), alpha = b_multiplier * b + std_multiplier * sigma, the range is [0, max(mean, 0) + alpha] in half range
and [max(min, mean - alpha), the same + 2 alpha] otherwise, at most the range seen: what ``onnxq.clipping.interval``
computes from calibration statistics. With bits = 0 the one level is the mean of the clamped values. Sums are float32 in
the order of ReduceMean, so that results may differ in the last bits from one machine to another. It runs as its
function body: there is no kernel.
"""

from __future__ import annotations

from onnx import FunctionProto

from onnxq.operators import parse_function

NAME = "DynamicRange"

BODY = """
DynamicRange (x, axes, bits, b_multiplier, std_multiplier, half, rectified, limit) => (scale, zero_point)
{
    zero = Constant <value = float {0.0}> ()
    one = Constant <value = float {1.0}> ()
    two = Constant <value = float {2.0}> ()
    tiny = Constant <value = float {1.17549435e-38}> ()
    gauss = Constant <value = float {1.2533141}> ()

    smallest = ReduceMin (x, axes)
    reach = ReduceMax (x, axes)
    largest = Min (reach, limit)
    true_mean = ReduceMean (x, axes)
    centred = Sub (x, true_mean)
    distance = Abs (centred)
    true_b = ReduceMean (distance, axes)
    squares = Mul (centred, centred)
    square_sum = ReduceSum (squares, axes)
    shape = Shape (x)
    lengths = Gather (shape, axes)
    whole_count = ReduceProd <keepdims: int = 0> (lengths)
    count = Cast <to: int = 1> (whole_count)
    others = Sub (count, one)
    freedom = Max (others, one)
    variance = Div (square_sum, freedom)
    true_std = Sqrt (variance)

    is_positive = Greater (x, zero)
    positive = Cast <to: int = 1> (is_positive)
    positive_count = ReduceSum (positive, axes)
    at_least_one = Max (positive_count, one)
    total = ReduceSum (x, axes)
    tail_b = Div (total, at_least_one)
    tail_std = Mul (tail_b, gauss)
    b = Where (rectified, tail_b, true_b)
    std = Where (rectified, tail_std, true_std)
    mean = Where (rectified, zero, true_mean)

    from_b = Mul (b_multiplier, b)
    from_std = Mul (std_multiplier, std)
    alpha = Add (from_b, from_std)
    below = Sub (mean, alpha)
    full_lower = Max (below, smallest)
    clipped_lower = Where (half, zero, full_lower)
    not_negative = Relu (x)
    clamped = Min (not_negative, limit)
    half_mean = ReduceMean (clamped, axes)
    only_level = Where (half, half_mean, true_mean)
    no_bit = Constant <value = int32 {0}> ()
    is_constant = Equal (bits, no_bit)
    lower = Where (is_constant, only_level, clipped_lower)
    width = Mul (alpha, two)
    full_upper = Add (full_lower, width)
    positive_mean = Max (mean, zero)
    half_upper = Add (positive_mean, alpha)
    upper = Where (half, half_upper, full_upper)
    seen_upper = Max (largest, lower)
    clipped_upper = Min (upper, seen_upper)

    range = Sub (clipped_upper, lower)
    level_count = Pow (two, bits)
    top = Sub (level_count, one)
    steps = Max (top, one)
    any_step = Div (range, steps)
    step = Where (is_constant, zero, any_step)
    has_width = GreaterOrEqual (step, tiny)
    magnitude = Abs (lower)
    is_value = GreaterOrEqual (magnitude, tiny)
    only_value = Where (is_value, magnitude, one)
    scale = Where (has_width, step, only_value)
    negative_lower = Neg (lower)
    position = Div (negative_lower, scale)
    zero_point = Round (position)
}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)
