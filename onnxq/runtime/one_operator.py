"""Models of one onnxq operator, or of several in a row, with per-channel parameters on axis 1. A part of ``runtime``.

To compare kernels, and to time them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from onnxq.core.histogram import BINS
from onnxq.core.operator_call import DOMAIN
from onnxq.formats.powers_of_two import additive_levels, levels_of
from onnxq.operators import VERSION, observe, operator_function

OPERATORS = ("FakeQuantize", "FakeQuantizeMidTread", "FakeQuantizeCodebook", "FakeQuantizeFixedPoint", "Observe")
KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16}


def _per_channel(name: str, values: NDArray[np.generic]) -> onnx.TensorProto:
    return numpy_helper.from_array(values.reshape(1, -1, 1, 1), name)


def _constants(name: str, channels: int) -> tuple[list[onnx.TensorProto], dict[str, int]]:
    """The inputs of an operator but x, and its attributes."""
    scale = _per_channel("scale", np.linspace(0.1, 0.3, channels, dtype=np.float32))
    if name == "FakeQuantize":
        zero_point = _per_channel("zero_point", np.full(channels, 7, np.float32))
        return [scale, zero_point, numpy_helper.from_array(np.array(4, np.int32), "bits")], {}
    if name == "FakeQuantizeMidTread":
        first, last = (_per_channel(key, np.full(channels, v, np.float32)) for key, v in (("first", -7), ("last", 7)))
        return [scale, first, last], {}
    if name == "FakeQuantizeCodebook":
        return [scale, numpy_helper.from_array(levels_of(additive_levels, 4, False), "levels")], {}
    if name == "FakeQuantizeFixedPoint":
        fraction_bits = _per_channel("fraction_bits", np.full(channels, 4, np.int32))
        return [fraction_bits], {"total_bits": 8, "rounding": 0, "overflow": 0}
    return [], {}


def _observed(names: Sequence[str], channels: int) -> list[tuple[str, int, list[int]]]:
    """Names, types and shapes of what Observe makes."""
    kinds = [TensorProto.FLOAT] * 2 + [TensorProto.DOUBLE] * 2
    return [
        *((name, kind, [channels]) for name, kind in zip(names[:-1], kinds, strict=True)),
        (names[-1], TensorProto.INT32, [channels, BINS]),
    ]


def model_of(
    name: str, shape: Sequence[int], times: int = 1, dtype: Any = np.float32, *, everything: bool = False
) -> onnx.ModelProto:
    """x of ``shape`` -> y, through the operator ``times`` times.

    Args:
        everything: of Observe all outputs, not its histograms alone.
    """
    kind = KINDS[np.dtype(dtype)]
    constants, attributes = _constants(name, shape[1])
    x = helper.make_tensor_value_info("x", kind, shape)
    nodes, outputs = [], []
    for i in range(times):
        if name == "Observe":
            made = [f"{output}{i}" for output in observe.OUTPUTS]
            nodes.append(helper.make_node(name, ["x"], made, domain=DOMAIN))
            infos = [helper.make_tensor_value_info(*each) for each in _observed(made, shape[1])]
            outputs += infos if everything else infos[-1:]
        else:
            source, target = f"x{i}" if i else "x", f"x{i + 1}" if i + 1 < times else "y"
            inputs = [source, *(constant.name for constant in constants)]
            nodes.append(helper.make_node(name, inputs, [target], domain=DOMAIN, **attributes))  # type: ignore[arg-type]
    outputs = outputs or [helper.make_tensor_value_info("y", kind, shape)]
    return helper.make_model(
        helper.make_graph(nodes, name, [x], outputs, constants),
        functions=[operator_function(name, 21)],
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=10,
    )


def convolution_model(shape: Sequence[int]) -> onnx.ModelProto:
    """x of ``shape`` -> y, through a FixedPointConv of 4 output channels, 3 x 3."""
    channels = shape[1]
    values = np.random.default_rng(1).integers(-7, 8, (4, channels, 3, 3)).astype(np.float32) / 8
    constants = [
        numpy_helper.from_array(values, "weight"),
        numpy_helper.from_array(np.array([0.5, -0.25, 0, 3], np.float32), "bias"),
        numpy_helper.from_array(np.array([4, 3, 2, 5], np.int32), "fraction_bits"),
    ]
    attributes = {"total_bits": 8, "rounding": 0, "overflow": 0, "group": 1}
    sizes = {"strides": [2, 1], "pads": [1, 0, 1, 2], "dilations": [1, 2]}
    inputs = ["x", *(constant.name for constant in constants)]
    node = helper.make_node("FixedPointConv", inputs, ["y"], domain=DOMAIN, **attributes, **sizes)  # type: ignore[arg-type]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in (("x", shape), ("y", None)))
    return helper.make_model(
        helper.make_graph([node], "convolution", [x], [y], constants),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=10,
    )
