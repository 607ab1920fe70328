"""Turn operator calls into nodes. A part of ``rewrite``, called for activations and for weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.operator_call import Made, OperatorCall, Subject, Tensor
from onnxq.graph.names import Names


def write_calls(
    graph: gs.Graph,
    names: Names,
    prefix: str,
    calls: Sequence[OperatorCall],
    result: gs.Variable,
    subject: gs.Tensor | None = None,
) -> None:
    """Append the nodes of a chain of calls.

    Args:
        prefix: new names begin with it.
        result: what the last call makes.
        subject: the tensor that is being quantized, if the calls have one.
    """
    made: dict[str, gs.Variable] = {}
    constants: dict[int, gs.Constant] = {}  # an array that serves twice is stored once

    def tensor_of(name: str, given: object) -> gs.Tensor:
        if isinstance(given, Subject):
            return subject
        if isinstance(given, Tensor):
            return graph.tensors()[given.name]
        if isinstance(given, Made):
            return made[given.output]
        if id(given) not in constants:
            constants[id(given)] = gs.Constant(names.fresh(f"{prefix}/{name}"), given)
        return constants[id(given)]

    for call in calls:
        inputs = [tensor_of(name, given) for name, given in call.inputs.items()]
        is_last = call is calls[-1]
        outputs = [
            result if is_last else gs.Variable(names.fresh(f"{prefix}/{output}"), np.float32) for output in call.outputs
        ]
        made |= dict(zip(call.outputs, outputs, strict=True))
        node_name = names.fresh(f"{prefix}/{call.operator}")
        graph.nodes.append(
            gs.Node(call.operator, node_name, dict(call.attributes), inputs, outputs, domain=call.domain)
        )
