"""Tensors of a quantized file that stand for those of its float network, and what makes them. A part of comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
import onnx.version_converter

from onnxq.core.metadata_keys import SOURCE
from onnxq.core.operator_call import DOMAIN
from onnxq.errors import OnnxqError
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.model_files import free_inputs, metadata
from onnxq.graph.normalize import normalize
from onnxq.inspection.quantized_graph import held_graphs, quantizes

DATA_DEPENDENT = ("NonZero", "Compress", "NonMaxSuppression", "Unique", "Loop", "If", "Scan")  # sizes of what they make
Makers = Mapping[str, onnx.NodeProto]


@dataclass(frozen=True)
class Site:
    """A tensor of both networks.

    Attributes:
        name: in the float network. tensor: in the quantized one, where its quantizer can do what a ReLU does.
        node: what makes it in the float network.
        cone: the nodes that make it in the quantized network out of tensors that the float network has, in order;
            empty where nothing in them is quantized.
    """

    name: str
    tensor: str
    node: onnx.NodeProto
    cone: tuple[onnx.NodeProto, ...]


def float_form(reference: onnx.ModelProto, quantized: onnx.ModelProto) -> onnx.ModelProto:
    """The float network in the operators and names that the quantized one has, types of tensors included."""
    wanted = opset_of(quantized)
    if metadata(quantized).get(SOURCE) is None:  # of another tool: as it is
        found = reference
        if opset_of(reference) < wanted:
            found = onnx.version_converter.convert_version(reference, wanted)
        if opset_of(found) != wanted:
            raise OnnxqError(
                f"the float file has opset {opset_of(found)}, the quantized one {wanted}: layers can be compared where "
                "they are the same"
            )
    else:
        graph = to_graph(reference, wanted)
        normalize(graph, for_integer_kernels=any(node.op_type == "QuantizeLinear" for node in quantized.graph.node))
        found = to_model(graph, reference)
    return onnx.shape_inference.infer_shapes(found)


def ranks_of(graph: onnx.GraphProto) -> dict[str, int]:
    """Of float tensors of known shape."""
    entries = [*graph.input, *graph.value_info, *graph.output]
    types = {entry.name: entry.type.tensor_type for entry in entries}
    return {
        name: len(kind.shape.dim)
        for name, kind in types.items()
        if kind.elem_type == onnx.TensorProto.FLOAT and kind.HasField("shape")
    }


def opset_of(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def shared_sites(exact: onnx.ModelProto, quantized: onnx.ModelProto) -> tuple[list[Site], dict[str, str]]:
    """The float tensors of both networks that an input reaches, and those of the quantized one by name with what the
    float one calls them."""
    entries = [*exact.graph.value_info, *exact.graph.output]
    floats = {entry.name for entry in entries if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    ours, theirs = made_of_inputs(exact.graph), made_of_inputs(quantized.graph)
    makers = {name: node for node in quantized.graph.node for name in node.output}
    same: dict[str, tuple[str, onnx.NodeProto]] = {}  # by name in the quantized network
    for node in exact.graph.node:
        for name in node.output:
            if name in ours and name in theirs and (tensor := _same(node, makers[name], name, quantized.graph)):
                same[tensor] = name, node
    stops = {**inputs_of(exact, quantized), **{tensor: name for tensor, (name, _) in same.items()}}
    uncertain = _behind(exact.graph, DATA_DEPENDENT)
    sites = [
        Site(name, tensor, node, _cone(tensor, makers, stops, theirs))
        for tensor, (name, node) in same.items()
        if name in floats and name not in uncertain
    ]
    return sites, stops


def inputs_of(exact: onnx.ModelProto, quantized: onnx.ModelProto) -> dict[str, str]:
    """The inputs of the quantized network with what the float one calls them: the same name, or the same place."""
    theirs, ours = _input_names(quantized.graph), _input_names(exact.graph)
    return {name: name if name in ours else own for name, own in zip(theirs, ours, strict=True)}


def _input_names(graph: onnx.GraphProto) -> list[str]:
    return [entry.name for entry in free_inputs(graph)]


def _behind(graph: onnx.GraphProto, operators: Sequence[str]) -> set[str]:
    """Names of all that such operators make, and what follows from it."""
    found: set[str] = set()
    for node in graph.node:
        if node.op_type in operators or not found.isdisjoint(reads(node)):
            found.update(node.output)
    return found


def defined_in(graph: onnx.GraphProto) -> set[str]:
    """The names that a graph gives to tensors of its own."""
    made = {name for node in graph.node for name in node.output}
    return made | {entry.name for entry in graph.input} | {tensor.name for tensor in graph.initializer}


def reads(node: onnx.NodeProto) -> list[str]:
    """What a node reads, the graphs that it holds included."""
    names = list(node.input)
    for inner in held_graphs(node):
        made = defined_in(inner)
        outside = [*(name for each in inner.node for name in reads(each)), *(entry.name for entry in inner.output)]
        names += [name for name in outside if name and name not in made]
    return names


def _same(node: onnx.NodeProto, other: onnx.NodeProto, name: str, quantized: onnx.GraphProto) -> str:
    """The tensor of the quantized network that stands for one of the float network; empty where there is none.

    Where another operator makes it, as a Conv whose ReLU became a range, its codes stand for the same values.
    """
    if node.op_type == other.op_type or other.domain == DOMAIN or other.op_type == "DequantizeLinear":
        return name
    for op in ("QuantizeLinear", "DequantizeLinear"):
        readers = [reader for reader in quantized.node if name in reader.input]
        if len(readers) != 1 or readers[0].op_type != op:
            return ""
        name = readers[0].output[0]
    return name


def made_of_inputs(graph: onnx.GraphProto) -> set[str]:
    """Names of tensors that follow from an input, which constants do not."""
    found = set(_input_names(graph))
    made: set[str] = set()
    for node in graph.node:
        if not found.isdisjoint(reads(node)):
            found.update(node.output)
            made.update(name for name in node.output if name)
    return made


def _cone(name: str, makers: Makers, stops: Mapping[str, str], live: set[str]) -> tuple[onnx.NodeProto, ...]:
    """The nodes from tensors of the float network to this one, in order of execution."""
    order: dict[int, onnx.NodeProto] = {}

    def visit(node: onnx.NodeProto) -> None:
        for each in reads(node):
            if each not in stops and each in live and id(makers[each]) not in order:
                visit(makers[each])
        order[id(node)] = node

    visit(makers[name])
    nodes = tuple(order.values())
    constant = [each for node in nodes for each in reads(node) if each in makers and each not in live]
    return nodes if any(map(quantizes, [*nodes, *(makers[each] for each in constant)])) else ()
