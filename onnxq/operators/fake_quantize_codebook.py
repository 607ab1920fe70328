"""FakeQuantizeCodebook(x, scale, levels): the nearest of K levels, times scale: additive powers of two and others.

    x       T [any shape], T = float32 or float16
    scale   float32, a scalar or one value a channel in a shape that broadcasts against x
    levels  float32 [K], ascending, 1 <= K <= 256
    y       T, the shape of x

With u = x / scale and bounds (levels[k] + levels[k + 1]) * 0.5, the index is the number of bounds below u (a tie goes
to the lower level); y = levels[index] * scale, all in float32, rounded to T once at the end. NaN gives NaN, +-Inf the
outermost levels. The numpy reference is ``onnxq.formats.codebook.fake_quantize``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto

from onnxq.formats.codebook import bounds_of
from onnxq.operators import parse_function
from onnxq.operators.grid import Grid

NAME = "FakeQuantizeCodebook"
STEPS = (128, 64, 32, 16, 8, 4, 2, 1)  # binary search among 255 bounds, +Inf beyond the last

_SEARCH = "\n".join(
    f"""
    half_{half} = Constant <value = int32 {{{half}}}> ()
    before_{half} = Constant <value = int32 {{{half - 1}}}> ()
    place_{half} = Add (index_{2 * half}, before_{half})
    bound_{half} = Gather (bounds, place_{half})
    beyond_{half} = Greater (u, bound_{half})
    taken_{half} = Cast <to: int = 6> (beyond_{half})
    moved_{half} = Mul (taken_{half}, half_{half})
    index_{half} = Add (index_{2 * half}, moved_{half})"""
    for half in STEPS
)

BODY = f"""
FakeQuantizeCodebook (x, scale, levels) => (y)
{{
    zero = Constant <value = int64[1] {{0}}> ()
    one = Constant <value = int64[1] {{1}}> ()
    minus_one = Constant <value = int64[1] {{-1}}> ()
    last = Constant <value = int64[1] {{2147483647}}> ()
    lower = Slice (levels, zero, minus_one)
    upper = Slice (levels, one, last)
    doubled = Add (lower, upper)
    a_half = Constant <value = float {{0.5}}> ()
    between = Mul (doubled, a_half)
    largest = Constant <value = float {{3.4028235e38}}> ()
    infinity = Add (largest, largest)
    number = Constant <value = int64[1] {{255}}> ()
    padding = Expand (infinity, number)
    padded = Concat <axis: int = 0> (between, padding)
    bounds = Slice (padded, zero, number)

    x32 = Cast <to: int = 1> (x)
    u = Div (x32, scale)
    shape = Shape (u)
    origin = Constant <value = int32 {{0}}> ()
    index_256 = Expand (origin, shape){_SEARCH}
    level = Gather (levels, index_1)
    scaled = Mul (level, scale)
    is_nan = IsNaN (u)
    y32 = Where (is_nan, u, scaled)
    y = CastLike (y32, x)
}}
"""


def function(opset: int) -> FunctionProto:
    """The operator as a function of standard operators."""
    return parse_function(BODY, opset)


def codes(values: NDArray[Any], parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> NDArray[Any]:
    """The codes that quantized values stand for; parameters and attributes are those of the node."""
    scale, levels = parameters
    return np.searchsorted(bounds_of(levels), values / scale).astype(np.float32)


def width(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int], symbols: int) -> float:
    """Bits a code."""
    return float(np.ceil(np.log2(len(parameters[1]))))


def grid(parameters: Sequence[NDArray[Any]], attributes: Mapping[str, int]) -> Grid:
    """The values that come out."""
    scale, levels = parameters
    return Grid(scale, levels[0] * scale, levels[-1] * scale, np.ceil(np.log2(np.array(len(levels)))), levels)
