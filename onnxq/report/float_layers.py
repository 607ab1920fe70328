"""The layers of the float network, and how much each computes. A part of ``report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import onnx
from numpy.typing import NDArray

from onnxq.core.feeds import Batch
from onnxq.graph.clamps import CLAMPS
from onnxq.graph.model_files import fixed_batch_size
from onnxq.inspection.constants import constant_values
from onnxq.inspection.quantized_graph import QuantizedGraph
from onnxq.runtime.batches import on_device, run
from onnxq.runtime.graph_session import leaves_last
from onnxq.runtime.sessions import make_session

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FloatLayer:
    """A layer with a constant weight.

    Attributes:
        node: it. weight: its values. input: what it reads beside. outputs: names of what it makes, before and behind a
            ReLU. products: for an image.
    """

    node: onnx.NodeProto
    weight: NDArray[Any]
    input: str
    outputs: tuple[str, ...]
    products: int


def float_layers(exact: onnx.ModelProto, batch: Batch, provider: str) -> list[FloatLayer]:
    """Of a float network, in order.

    Args:
        batch: of which one image is run, for the shapes of tensors; all where the model fixes their number.

    Raises:
        OnnxqError: the network cannot be run.
    """
    graph = QuantizedGraph(exact)
    sides = []
    for node in graph.layers:
        places = [place for place, name in enumerate(node.input[:2]) if graph.is_constant(name)]
        if len(places) == 1:
            sides.append((node, node.input[places[0]], node.input[1 - places[0]]))
    weights = constant_values(exact, [name for _, name, _ in sides])
    found = [(node, weight, read) for (node, _, read), weight in zip(sides, weights, strict=True)]
    few = batch if fixed_batch_size(exact) is not None else batch[:1]
    shapes = _shapes(exact, [name for node, _, read in found for name in (read, node.output[0])], few, provider)
    return [
        FloatLayer(
            node,
            weight,
            read,
            _names(graph, node),
            _products(node, weight, shapes[read], shapes[node.output[0]], len(few)),
        )
        for node, weight, read in found
    ]


def _names(graph: QuantizedGraph, node: onnx.NodeProto) -> tuple[str, ...]:
    """What a layer makes, and behind it what a ReLU or Clip alone makes of that: quantizers can stand for these."""
    names = [node.output[0]]
    while len(readers := graph.readers.get(names[-1], [])) == 1 and readers[0].op_type in CLAMPS:
        names.append(readers[0].output[0])
    return tuple(names)


def _shapes(model: onnx.ModelProto, names: Sequence[str], batch: Batch, provider: str) -> Mapping[str, Shape]:
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    given = {entry.name for entry in (*probe.graph.input, *probe.graph.output)}
    made = [name for name in dict.fromkeys(names) if name not in given]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)  # types as ONNX Runtime infers them
    leaves_last(probe.graph)
    session = make_session(probe, provider)
    own = [output.name for output in session.get_outputs()]
    there = on_device(batch, session)
    shapes = {name: values.shape for name, values in zip(own, run(session, own, there), strict=True)}
    return shapes | {name: tuple(value.shape()) for name, value in there.items()}


def _products(node: onnx.NodeProto, weight: NDArray[Any], read: Shape, made: Shape, images: int) -> int:
    """Each weight is used once for each position of what is made: of ConvTranspose, of what is read."""
    if node.op_type == "MatMul":
        positions = prod(made[:-1])
    elif node.op_type == "ConvTranspose":
        positions = prod(read) // max(read[1], 1)
    else:
        positions = prod(made) // max(made[1], 1)
    return int(weight.size * positions / max(images, 1))
