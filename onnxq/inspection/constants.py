"""Values of tensors that a graph makes of constants alone, by running that part of it. A part of ``inspection``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.runtime.sessions import make_session


def constant_values(model: onnx.ModelProto, names: Sequence[str]) -> list[NDArray[Any]]:
    """The values of tensors that depend on no input of the model.

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
    stored = {tensor.name: tensor for tensor in part.graph.initializer}
    made = [name for name in names if name not in stored]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)  # types as ONNX Runtime infers them
    values = dict(zip(made, make_session(part, "cpu").run(made, {}), strict=True)) if made else {}
    return [numpy_helper.to_array(stored[name]) if name in stored else values[name] for name in names]
