"""Parts of a graph, to run a network piece by piece. A part of ``graph``, called by ``refine``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_graphsurgeon as gs
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """Nodes that run together.

    Attributes:
        nodes: their names. reads: tensors that come from before. makes: tensors that are read behind it, or asked for.
    """

    nodes: frozenset[str]
    reads: tuple[str, ...]
    makes: tuple[str, ...]


def segment_to(graph: gs.Graph, tensor: str, available: Iterable[str], done: set[str]) -> Segment:
    """What is to run for a tensor.

    Args:
        available: tensors that were made, or given. done: names of the nodes that ran.
    """
    known = set(available)
    needed: set[str] = set()
    pending = [graph.tensors()[tensor]] if tensor not in known else []
    reads: dict[str, None] = {}
    while pending:
        current = pending.pop()
        if current.name in known:
            reads[current.name] = None
            continue
        for node in current.inputs:
            if node.name not in needed:
                needed.add(node.name)
                pending.extend(_read(node))
    later = wanted_later(graph, done | needed) | {tensor}
    made = [output.name for node in graph.nodes if node.name in needed for output in node.outputs]
    return Segment(frozenset(needed), tuple(reads), tuple(name for name in made if name in later))


def wanted_later(graph: gs.Graph, done: set[str]) -> set[str]:
    """Names of the tensors that nodes read which did not run, and of the outputs."""
    rest = [node for node in graph.nodes if node.name not in done]
    return {read.name for node in rest for read in _read(node)} | {output.name for output in graph.outputs}


@dataclass(frozen=True)
class Kind:
    """Type and shape of a tensor over all batches; None for a dimension that differs between them."""

    dtype: Any
    shape: tuple[int | None, ...]

    @staticmethod
    def of(array: NDArray[Any]) -> Kind:
        """Of one batch; the first dimension may differ."""
        return Kind(array.dtype.type, (None, *array.shape[1:]) if array.ndim else ())

    def merged(self, other: Kind) -> Kind:
        """Of both."""
        sizes = zip(self.shape, other.shape, strict=True)
        return Kind(self.dtype, tuple(one if one == two else None for one, two in sizes))


def cut(graph: gs.Graph, segment: Segment, kinds: Mapping[str, Kind]) -> gs.Graph:
    """A segment as a graph of its own.

    Args:
        kinds: of the tensors that it reads.
    """
    copy = graph.copy()
    tensors = copy.tensors()
    copy.inputs = []
    for name in segment.reads:
        tensor, kind = tensors[name], kinds[name]
        tensor.inputs.clear()
        tensor.dtype = kind.dtype
        tensor.shape = [f"{name}/{axis}" if size is None else size for axis, size in enumerate(kind.shape)]
        copy.inputs.append(tensor)
    copy.outputs = [tensors[name] for name in segment.makes]
    return copy


def _read(node: gs.Node) -> list[gs.Tensor]:
    """The tensors that a node reads, those of its subgraphs included."""
    found = list(node.inputs)
    for value in node.attrs.values():
        if isinstance(value, gs.Graph):
            inside = {id(tensor) for inner in value.nodes for tensor in inner.outputs}
            inside |= {id(tensor) for tensor in value.inputs}
            found += [tensor for inner in value.nodes for tensor in _read(inner) if id(tensor) not in inside]
    return [tensor for tensor in found if isinstance(tensor, gs.Variable) and tensor.name]
