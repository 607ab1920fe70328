"""Constants of narrow integers. A part of ``rewrite``, called by the writer of QuantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx_graphsurgeon.ir.tensor import LazyValues

from onnxq.core.target import Target
from onnxq.formats.packing import pack

INT2_OPSET = 25  # the first with INT2
SIGNED_OFFSET = 128  # what an INT8 code lies below the UINT8 code of the same value
WEIGHT_TYPES = {2: onnx.TensorProto.INT2, 4: onnx.TensorProto.INT4, 8: onnx.TensorProto.INT8}  # by width


def code_type(target: Target) -> tuple[type[np.integer[Any]], int]:
    """Of activations: the type of their codes, and what these lie below UINT8 codes of the same values."""
    return (np.int8, SIGNED_OFFSET) if target.signed_activations else (np.uint8, 0)


def container_width(bits: int) -> int:
    """Width of the narrowest integer type that holds ``bits``."""
    return next(width for width in WEIGHT_TYPES if width >= bits)


def integers(name: str, values: NDArray[Any], width: int) -> gs.Constant:
    """A constant of signed integers of ``width`` bits, two's complement."""
    unsigned = (values.astype(np.int64) & (2**width - 1)).astype(np.uint8)
    raw = pack(unsigned.reshape(1, -1), np.array([width], np.int32)).tobytes()
    tensor = onnx.helper.make_tensor(name, WEIGHT_TYPES[width], values.shape, raw, raw=True)
    return gs.Constant(name, LazyValues(tensor))
