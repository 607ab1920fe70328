"""Between ModelProto and onnx-graphsurgeon's graph, without losing what graphsurgeon does not carry.

A part of ``graph``, called by every stage that reads or writes a model.
"""

from __future__ import annotations

import onnx
import onnx.inliner
import onnx.shape_inference
import onnx.version_converter
import onnx_graphsurgeon as gs

from onnxq.errors import OnnxqError
from onnxq.graph.model_files import metadata, set_metadata
from onnxq.operators import DOMAIN, VERSION, functions_of

OPSET = 21  # the newest whose operators the CUDA provider covers (no MaxPool from 22 on)
IR_VERSION = 10
NEWER_IR_VERSION = 13  # of models above opset 21; the newest that ONNX Runtime takes


def to_graph(model: onnx.ModelProto, opset: int = OPSET, *, shapes: bool = False) -> gs.Graph:
    """Import a model at this opset or a newer one; older ones are converted first, local functions inlined.

    Args:
        shapes: infer the types and shapes of all tensors.

    Raises:
        OnnxqError: an operator has no conversion, or the model is already quantized by onnxq.
    """
    if any(node.domain == DOMAIN for node in model.graph.node):
        raise OnnxqError("this model already has onnxq operators in it; start from the float model")
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    domains = {entry.domain: entry.version for entry in model.opset_import}
    version = domains.get("", domains.get("ai.onnx", 1))
    if version < opset:
        try:
            model = onnx.version_converter.convert_version(model, opset)
        except (RuntimeError, onnx.version_converter.ConvertError) as error:
            first_line = str(error).splitlines()[0]
            raise OnnxqError(f"cannot convert the model from opset {version} to {opset}: {first_line}") from error
    if shapes or model.graph.value_info:
        model = _with_inferred_shapes(model)
    graph = gs.import_onnx(model)
    # graphsurgeon keeps the model's own list and adds to it on export: give the graph a copy.
    graph.import_domains = [onnx.helper.make_opsetid(entry.domain, entry.version) for entry in model.opset_import]
    return graph


def _with_inferred_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Types and shapes of all tensors as they follow from the inputs: what a file says of others may be wrong."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    del stripped.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(stripped)


def to_model(graph: gs.Graph, source: onnx.ModelProto) -> onnx.ModelProto:
    """Export a graph with the functions its onnxq nodes need and the metadata of its source."""
    graph.cleanup().toposort()
    model = gs.export_onnx(graph, do_type_check=False)
    model.ir_version = NEWER_IR_VERSION if graph.opset > OPSET else IR_VERSION
    keep = [entry for entry in source.opset_import if entry.domain not in ("", "ai.onnx", DOMAIN)]
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", graph.opset))
    model.opset_import.extend(keep)
    if any(node.domain == DOMAIN for node in graph.nodes):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
        model.functions.extend(functions_of(graph))
    model.producer_name, model.producer_version = source.producer_name, source.producer_version
    set_metadata(model, metadata(source))
    return model
