"""A torch network of one image input to ONNX. A part of ``export``; it needs torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import onnx
import torch
from onnxscript.optimizer import fold_constants, remove_unused_nodes

from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.graph.conversion import OPSET, to_graph, to_model
from onnxq.graph.model_files import MAX_PROTOBUF, set_metadata
from onnxq.graph.normalize import normalize

INPUT, OUTPUT = "input", "logits"


def export_module(
    model: torch.nn.Module,
    preprocessing: Preprocessing,
    *,
    name: str,
    hint: str = "",
    keep_batch_norm: bool = False,
    outputs: Sequence[str] = (OUTPUT,),
) -> onnx.ModelProto:
    """Export a network: opset 21, dynamic batch, batch norm folded, preprocessing in the metadata.

    Args:
        outputs: names of what it makes.
        name: what it is called, in metadata and messages. hint: added to the message of a failed export.
        keep_batch_norm: leave it beside its layers (torch and onnxq fold it otherwise).

    Raises:
        OnnxqError: torch cannot export it, or it is too large for a file.
    """
    model.eval()
    example = torch.zeros(2, *preprocessing.input_size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
                optimize=not keep_batch_norm,
            )
        assert program is not None
        if keep_batch_norm:  # what torch's optimization does, without the rules that fold it
            fold_constants(program.model)
            remove_unused_nodes(program.model)
        exported = program.model_proto
    except Exception as error:  # torch raises many kinds
        raise OnnxqError(
            f"torch cannot export {name} for input {preprocessing.input_size}{hint}: {str(error).splitlines()[0]}"
        ) from error
    if exported.ByteSize() > MAX_PROTOBUF:
        raise OnnxqError(f"{name} is over 2 GB, more than one ONNX file holds")
    strip_traces(exported)
    graph = to_graph(exported)
    normalize(graph, keep_batch_norm=keep_batch_norm)
    folded = to_model(graph, exported)
    facts = {"model": name}
    if tuple(outputs) == (OUTPUT,):
        facts["num_classes"] = str(folded.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
    set_metadata(folded, {**preprocessing.to_metadata(), **facts})
    return folded


def strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's metadata and doc strings: they hold local paths and stack traces."""
    del model.metadata_props[:]
    for graph in (model.graph, *(function for function in model.functions)):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in graph.value_info:
            del value.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
