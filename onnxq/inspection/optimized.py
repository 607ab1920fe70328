"""What ONNX Runtime makes of a file on its CPU provider. A part of ``inspection``, called by ``check``."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from onnxq.graph.compact import QUANTIZERS
from onnxq.runtime.sessions import make_session, session_options

INTEGER = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger", "DynamicQuantize", "MatMulNBits")  # names begin so


@dataclass(frozen=True)
class Optimized:
    """The graph that runs.

    Attributes:
        integer: names of the nodes that compute with integers.
        others: operators that compute in float, how many of each.
        seconds: to load the file as a session usually does.
    """

    integer: frozenset[str]
    others: dict[str, int]
    seconds: float


def optimized(model: onnx.ModelProto, entries: Sequence[tuple[str, str]] = ()) -> Optimized:
    """Load a model whose nodes have names, without onnxq's library.

    Args:
        entries: of the session's configuration.

    Raises:
        OnnxqError: ONNX Runtime cannot load it.
    """
    begun = time.perf_counter()
    make_session(model, options=_options(entries))
    seconds = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = _options(entries)
        options.optimized_model_filepath = str(path)
        # The last level moves convolutions to other layouts, and names with them.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        make_session(model, options=options)
        graph = onnx.load(str(path)).graph
    integer = frozenset(node.name for node in graph.node if node.op_type.startswith(INTEGER))
    return Optimized(integer, _in_float(graph), seconds)


def _options(entries: Sequence[tuple[str, str]]) -> ort.SessionOptions:
    options = session_options(native=False)
    for entry in entries:
        options.add_session_config_entry(*entry)
    return options


def _in_float(graph: onnx.GraphProto) -> dict[str, int]:
    """Operators whose first input is no tensor of codes, and that make none."""
    codes: set[str] = set()
    found: Counter[str] = Counter()
    for node in graph.node:
        makes = node.op_type == "QuantizeLinear" or node.op_type.startswith(INTEGER)
        moves = bool(node.input) and node.input[0] in codes and node.op_type != "DequantizeLinear"
        if makes or moves:
            codes.update(node.output)
        elif node.op_type not in QUANTIZERS:
            found[node.op_type] += 1
    return dict(found)
