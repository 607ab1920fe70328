"""A session on a graph that was made to measure something: its weights are not copied, its probes run early.

A part of ``runtime``, called by ``observe`` and ``refine``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime as ort
from numpy.typing import NDArray
from onnx_graphsurgeon.ir.tensor import LazyValues

from onnxq.graph.conversion import to_model
from onnxq.runtime.sessions import make_session, session_options, trusted

LARGE = 1024  # values; ONNX Runtime wants small constants, shapes for example, in the model itself
TYPES = (np.float32, np.uint8, np.int8, np.uint16)  # that a session can be given; INT4 for example is not


def graph_session(
    graph: gs.Graph,
    source: onnx.ModelProto,
    provider: str,
    *,
    native: bool | None = None,
    options: ort.SessionOptions | None = None,
) -> ort.InferenceSession:
    """A session on a graph, which is used up by it; ``source`` is the model that the graph was made from.

    Raises:
        OnnxqError: see ``onnxq.runtime.sessions.make_session``.
    """
    weights = take_weights(graph.cleanup())
    model = to_model(graph, source)
    leaves_last(model.graph)
    options = options or session_options(native=trusted(native, provider))
    # What integer files compute is measured as it is written: the fused kernels of processors without VNNI saturate.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.enable_mem_pattern = False  # the second run would allocate everything anew, beside what the first one holds
    return make_session(model, provider, options=options, weights=weights)


def take_weights(graph: gs.Graph) -> dict[str, NDArray[Any]]:
    """Take large constants out of a graph: what stays behind says that they come from elsewhere."""
    weights = {}
    for tensor in graph.tensors().values():
        if not isinstance(tensor, gs.Constant) or int(np.prod(tensor.shape)) < LARGE or tensor.dtype not in TYPES:
            continue
        values = np.ascontiguousarray(tensor.values)
        absent = onnx.TensorProto(
            name=tensor.name,
            data_type=onnx.helper.np_dtype_to_tensor_dtype(values.dtype),
            dims=values.shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        absent.external_data.add(key="location", value="given to the session")
        tensor.values = LazyValues(absent)
        weights[tensor.name] = values
    return weights


def leaves_last(graph: onnx.GraphProto) -> None:
    """Order nodes so that ONNX Runtime runs each probe as soon as it can, and then frees what it looked at.

    ONNX Runtime orders nodes by a search from those that nobody consumes, the last one in the file first.
    """
    consumed = {name for node in graph.node for name in node.input}
    leaves = [node for node in graph.node if consumed.isdisjoint(node.output)]
    others = [node for node in graph.node if not consumed.isdisjoint(node.output)]
    del graph.node[:]
    graph.node.extend([*others, *reversed(leaves)])
