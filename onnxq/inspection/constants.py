"""Values of tensors that a graph makes of constants alone, by running that part of it. A part of ``inspection``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.runtime.sessions import make_session


def constant_values(model: onnx.ModelProto, names: Sequence[str]) -> list[NDArray[np.float32]]:
    """The values of float tensors that depend on no input of the model.

    Raises:
        OnnxqError: ONNX Runtime cannot load the model.
    """
    if not names:
        return []
    wanted, kept = set(names), []
    for node in reversed(model.graph.node):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            kept.append(node)
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[:], part.graph.input[:], part.graph.output[:]
    part.graph.node.extend(reversed(kept))
    part.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    values: list[NDArray[np.float32]] = make_session(part, "cpu").run(list(names), {})
    return values
