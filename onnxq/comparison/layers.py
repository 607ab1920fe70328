"""Tensors that a float and a quantized network both have, each quantized alone and by all before it.

One network is made of three: the float one, the quantized one, and what makes each tensor of the quantized one out of
what the float one has before it. Sums of squares are taken in it, so that nothing but them leaves it. A part of
``comparison``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxq.comparison.compared import ComparedTensor
from onnxq.comparison.reasons import reason_of
from onnxq.comparison.tally import decibels
from onnxq.core.feeds import Batch
from onnxq.core.operator_call import DOMAIN
from onnxq.errors import OnnxqError
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.model_files import load_model, metadata
from onnxq.graph.normalize import normalize
from onnxq.graph.understanding import understanding
from onnxq.inspection.show import show
from onnxq.runtime.batches import on_device, run
from onnxq.runtime.sessions import make_session, session_options, trusted

Makers = Mapping[str, onnx.NodeProto]
QUANTIZED, ALONE = "quantized/", "alone/"  # in front of names of tensors that are not those of the float network


@dataclass
class LayerProbe:
    """Compares the tensors of two files, batch by batch."""

    reference: str | Path
    path: Path
    provider: str
    _sums: NDArray[np.float64] | None = field(default=None, init=False)
    _reach: dict[str, NDArray[np.float64]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        model = load_model(self.path)
        with understanding():
            exact = _float_form(load_model(self.reference), model)
            self._sites, stops = _shared(exact, model)
        if not self._sites:
            raise OnnxqError(f"{self.path}: no tensor inside it has the name of one in {self.reference}")
        ranks = _ranks(exact.graph)
        shown = (tensor for tensor in show(self.path).tensors if tensor.kind == "activation")
        self._quantizers = {tensor.name: tensor for tensor in shown if ranks.get(tensor.name, 0) > 1}
        combined = _combined(exact, model, self._sites, stops, list(self._quantizers))
        options = session_options(native=trusted(None, self.provider))
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # computed as it is written
        self._session = make_session(combined, self.provider, options=options)
        self._names = [output.name for output in self._session.get_outputs()]

    def add(self, batch: Batch) -> None:
        """Take a batch into account."""
        made = run(self._session, self._names, on_device(batch, self._session))
        count = 3 * len(self._sites)
        sums = np.array([float(value) for value in made[:count]], np.float64)
        self._sums = sums if self._sums is None else self._sums + sums
        for name, values in zip(self._quantizers, made[count:], strict=True):
            known = self._reach.get(name, values)
            if known.shape != values.shape:  # a sequence, which is no channels
                known, values = (each.max(keepdims=True, initial=0) for each in (known, values))
            self._reach[name] = np.maximum(known, values).astype(np.float64)

    def result(self) -> list[ComparedTensor]:
        """Worst first."""
        assert self._sums is not None  # batches were added
        signals, alones, totals = self._sums.reshape(-1, 3).T.tolist()
        found = []
        for site, signal, alone, total in zip(self._sites, signals, alones, totals, strict=True):
            alone_db = decibels(signal, alone) if site.cone else None
            found.append(
                ComparedTensor(
                    site.name,
                    site.node.name,
                    site.node.op_type,
                    alone_db,
                    decibels(signal, total),
                    "dead: all zeros" if signal == 0 else self._reason(site) if site.cone else "",
                )
            )
        return sorted(found, key=lambda each: (each.alone is None, each.alone or 0.0, each.accumulated))

    def _reason(self, site: _Site) -> str:
        """What is known of the quantizers of what a node reads."""
        read = [name for name in site.node.input if name in self._quantizers]
        return next(filter(None, (reason_of(self._quantizers[name], self._reach[name]) for name in read)), "")


@dataclass(frozen=True)
class _Site:
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


def _float_form(reference: onnx.ModelProto, quantized: onnx.ModelProto) -> onnx.ModelProto:
    """The float network in the operators and names that the quantized one has, types of tensors included."""
    wanted = _opset(quantized)
    if metadata(quantized).get("onnxq.source") is None:  # of another tool: as it is
        found = reference
        if _opset(reference) < wanted:
            found = onnx.version_converter.convert_version(reference, wanted)
        if _opset(found) != wanted:
            raise OnnxqError(
                f"the float file has opset {_opset(found)}, the quantized one {wanted}: layers can be compared where "
                "they are the same"
            )
    else:
        has = {name for node in quantized.graph.node for name in node.output}
        forms = []
        for for_integers in (False, True):
            graph = to_graph(reference, wanted)
            normalize(graph, for_integer_kernels=for_integers)
            forms.append(to_model(graph, reference))
        found = max(forms, key=lambda form: len(has & {name for node in form.graph.node for name in node.output}))
    return onnx.shape_inference.infer_shapes(found)


def _ranks(graph: onnx.GraphProto) -> dict[str, int]:
    """Of float tensors of known shape."""
    entries = [*graph.input, *graph.value_info, *graph.output]
    types = {entry.name: entry.type.tensor_type for entry in entries}
    return {
        name: len(kind.shape.dim)
        for name, kind in types.items()
        if kind.elem_type == onnx.TensorProto.FLOAT and kind.HasField("shape")
    }


def _opset(model: onnx.ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _shared(exact: onnx.ModelProto, quantized: onnx.ModelProto) -> tuple[list[_Site], dict[str, str]]:
    """The float tensors of both networks that an input reaches, and those of the quantized one by name with what the
    float one calls them."""
    entries = [*exact.graph.value_info, *exact.graph.output]
    floats = {entry.name for entry in entries if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    ours, theirs = _made_of_inputs(exact.graph), _made_of_inputs(quantized.graph)
    makers = {name: node for node in quantized.graph.node for name in node.output}
    same: dict[str, tuple[str, onnx.NodeProto]] = {}  # by name in the quantized network
    for node in exact.graph.node:
        for name in node.output:
            if name in ours and name in theirs and (tensor := _same(node, makers[name], name, quantized.graph)):
                same[tensor] = name, node
    stops = {
        **{entry.name: entry.name for entry in exact.graph.input},
        **{key: name for key, (name, _) in same.items()},
    }
    sites = [
        _Site(name, tensor, node, _cone(tensor, makers, stops, theirs))
        for tensor, (name, node) in same.items()
        if name in floats
    ]
    return sites, stops


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


def _made_of_inputs(graph: onnx.GraphProto) -> set[str]:
    """Names of tensors that follow from an input, which constants do not."""
    constants = {tensor.name for tensor in graph.initializer}
    found = {entry.name for entry in graph.input} - constants
    made: set[str] = set()
    for node in graph.node:
        if not found.isdisjoint(node.input):
            found.update(node.output)
            made.update(name for name in node.output if name)
    return made


def _cone(name: str, makers: Makers, stops: Mapping[str, str], live: set[str]) -> tuple[onnx.NodeProto, ...]:
    """The nodes from tensors of the float network to this one, in order of execution."""
    order: dict[int, onnx.NodeProto] = {}

    def visit(node: onnx.NodeProto) -> None:
        for each in node.input:
            if each not in stops and each in live and id(makers[each]) not in order:
                visit(makers[each])
        order[id(node)] = node

    visit(makers[name])
    nodes = tuple(order.values())
    constant = [each for node in nodes for each in node.input if each in makers and each not in live]
    quantizes = any(_is_quantizer(node) for node in nodes) or any(_is_quantizer(makers[each]) for each in constant)
    return nodes if quantizes else ()


def _is_quantizer(node: onnx.NodeProto) -> bool:
    return node.domain == DOMAIN or "uantize" in node.op_type or "Integer" in node.op_type or node.op_type == "QGemm"


def _combined(
    exact: onnx.ModelProto,
    quantized: onnx.ModelProto,
    sites: Sequence[_Site],
    stops: Mapping[str, str],
    inputs: Sequence[str],
) -> onnx.ModelProto:
    """All three networks, and as outputs what is measured.

    Of each site the sums of y^2, of (y - alone)^2 and of (y - quantized)^2; then of each quantized tensor the largest
    magnitude of each channel.
    """
    made = onnx.ModelProto()
    made.CopyFrom(quantized)
    del made.graph.node[:], made.graph.initializer[:], made.graph.output[:], made.graph.value_info[:]
    del made.graph.input[:]
    made.graph.input.extend(exact.graph.input)
    made.graph.initializer.extend(exact.graph.initializer)
    made.graph.node.extend(exact.graph.node)
    own_inputs = {entry.name for entry in quantized.graph.input}
    renamed = {entry.name: entry.name for entry in quantized.graph.input}
    for tensor in quantized.graph.initializer:
        if tensor.name not in own_inputs:
            renamed[tensor.name] = QUANTIZED + tensor.name
            made.graph.initializer.add().CopyFrom(tensor)
            made.graph.initializer[-1].name = QUANTIZED + tensor.name
    renamed |= {name: QUANTIZED + name for node in quantized.graph.node for name in node.output if name}
    made.graph.node.extend(_copy(node, renamed, QUANTIZED) for node in quantized.graph.node)
    live = _made_of_inputs(quantized.graph)
    for number, site in enumerate(sites):
        inner = {name: f"{ALONE}{number}/{name}" for node in site.cone for name in node.output if name}
        read = [name for node in site.cone for name in node.input]
        names = {name: stops[name] if name in live else renamed.get(name, name) for name in read if name not in inner}
        made.graph.node.extend(_copy(node, {**names, **inner}, f"{ALONE}{number}/") for node in site.cone)
        alone = inner[site.tensor] if site.cone else site.name
        made.graph.node.extend(_sums(made, number, site.name, alone, QUANTIZED + site.tensor))
    rows = numpy_helper.from_array(np.array([0, 0, -1], np.int64), "compare/rows")
    axes = numpy_helper.from_array(np.array([0, 2], np.int64), "compare/axes")
    made.graph.initializer.extend([rows, axes])
    for number, name in enumerate(inputs):
        flat, absolute, reach = (f"compare/{kind}{number}" for kind in ("flat", "absolute", "reach"))
        made.graph.node.add(op_type="Abs", input=[name], output=[absolute])
        made.graph.node.add(op_type="Reshape", input=[absolute, rows.name], output=[flat])
        made.graph.node.append(helper.make_node("ReduceMax", [flat, axes.name], [reach], keepdims=0))
        made.graph.output.add(name=reach)
    return made


def _copy(node: onnx.NodeProto, renamed: dict[str, str], prefix: str) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.name = f"{prefix}{node.name}" if node.name else ""
    copied.input[:] = [renamed.get(name, name) for name in node.input]
    copied.output[:] = [renamed.get(name, name) for name in node.output]
    return copied


def _sums(model: onnx.ModelProto, number: int, *names: str) -> Iterator[onnx.NodeProto]:
    """Sums of squares of the first tensor, and of its differences from the others; they become outputs."""
    exact, *others = names
    for place, other in enumerate((None, *others)):
        source, total = exact, f"compare/sum{number}.{place}"
        if other is not None:
            source = f"compare/difference{number}.{place}"
            yield helper.make_node("Sub", [exact, other], [source])
        yield helper.make_node("ReduceSumSquare", [source], [total], keepdims=0)
        model.graph.output.add(name=total)
