"""Which layers of a file a runtime computes with integers, and why others not. The entrance of ``inspection``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx

from onnxq.errors import OnnxqError
from onnxq.graph.model_files import bytes_of, load_model
from onnxq.inspection.optimized import optimized
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.inspection.report import Check, CheckedLayer
from onnxq.inspection.rules import layer_problem, problems_of
from onnxq.recipe.targets import TARGETS
from onnxq.recipe.targets.base import IntegerTarget


def check(path: str | Path, target: str = "onnxruntime") -> Check:
    """Look at any ONNX file as a runtime does.

    For ONNX Runtime the file is loaded, and the graph that it makes of it is counted. What other runtimes want are
    facts of the target, and the file is held against those.

    Args:
        target: the name of one with integer kernels.

    Raises:
        OnnxqError: there is no such target or file, or ONNX Runtime cannot load it.
    """
    facts = TARGETS.parse(target)
    if not isinstance(facts, IntegerTarget):
        names = ", ".join(name for name in TARGETS.names() if isinstance(TARGETS.parse(name), IntegerTarget))
        raise OnnxqError(f"`target` {target} has no integer kernels to check for; {names} have")
    model = load_model(path)
    _name_nodes(model)
    graph = QuantizedGraph(model)
    made = optimized(model, facts.session_entries) if facts.runs_here else None

    def why(node: onnx.NodeProto) -> str:
        if made is not None and node.name in made.integer:
            return ""
        found = layer_problem(node, graph, facts)
        return found or ("there is no integer kernel for it as it is" if made is not None else "")

    return Check(
        target=target,
        opset=next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0),
        bytes=bytes_of(path),
        load_seconds=made.seconds if made is not None else None,
        layers=tuple(CheckedLayer(node.name, node.op_type, why(node)) for node in graph.layers),
        others=made.others if made is not None else {},
        activations=dict(Counter(map(graph.type_of, graph.activation_quantizers()))),
        weights=graph.weight_types(),
        problems=tuple(problems_of(graph, facts)),
    )


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give nodes a name that have none, or one that another has too: by names they are found again."""
    counts = Counter(node.name for node in model.graph.node)
    for number, node in enumerate(model.graph.node):
        if not node.name or counts[node.name] > 1:
            node.name = f"{node.name or node.op_type}#{number}"  # a name that no exporter gives
