"""Tensors that a float and a quantized network both have, each quantized alone and by all before it.

One network is made of three: the float one, the quantized one, and what makes each tensor of the quantized one out of
what the float one has before it. Sums of squares are taken in it, so that nothing but them leaves it. A part of
``comparison``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxq.comparison.compared import ComparedTensor
from onnxq.comparison.reasons import reason_of
from onnxq.comparison.sites import (
    Site,
    defined_in,
    float_form,
    inputs_of,
    made_of_inputs,
    opset_of,
    ranks_of,
    reads,
    shared_sites,
)
from onnxq.comparison.tally import decibels
from onnxq.core.feeds import Batch
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import free_inputs, load_model
from onnxq.graph.understanding import understanding
from onnxq.inspection.quantized_graph import QuantizedGraph, held_graphs
from onnxq.inspection.shown_activations import shown_activations
from onnxq.runtime.batches import on_device, run
from onnxq.runtime.graph_session import leaves_last
from onnxq.runtime.sessions import make_session, session_options, trusted

MARK = "onnxq-compare/"  # in front of all names that are not those of the float network
QUANTIZED, ALONE = f"{MARK}quantized/", f"{MARK}alone/"
AXES_AS_INPUT = 18  # opset from which ReduceMax has its axes as an input


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
            exact = float_form(load_model(self.reference), model)
            self._sites, stops = shared_sites(exact, model)
        if not self._sites:
            raise OnnxqError(f"{self.path}: no tensor inside it has the name of one in {self.reference}")
        ranks = ranks_of(exact.graph)
        shown = shown_activations(QuantizedGraph(model), None)
        self._quantizers = {tensor.name: tensor for tensor in shown if ranks.get(tensor.name, 0) > 1}
        combined = _combined(exact, model, self._sites, stops, list(self._quantizers))
        options = session_options(native=trusted(None, self.provider))
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # computed as it is written
        options.enable_mem_pattern = False  # the second run would allocate everything anew
        leaves_last(combined.graph)
        self._session = make_session(combined, self.provider, options=options)
        self._names = [
            name for name in (output.name for output in self._session.get_outputs()) if name.startswith(MARK)
        ]

    def add(self, batch: Batch, outputs: Sequence[str] = ()) -> list[NDArray[Any]]:
        """Take a batch into account; returns these outputs of the float network, which runs here in any case."""
        made = run(self._session, [*self._names, *outputs], on_device(batch, self._session))
        count = 3 * len(self._sites)
        sums = np.array([float(value) for value in made[:count]], np.float64)
        self._sums = sums if self._sums is None else self._sums + sums
        for name, values in zip(self._quantizers, made[count : len(self._names)], strict=True):
            known = self._reach.get(name, values)
            if known.shape != values.shape:  # a sequence, which is no channels
                known, values = (each.max(keepdims=True, initial=0) for each in (known, values))
            self._reach[name] = np.maximum(known, values).astype(np.float64)
        return made[len(self._names) :]

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

    def _reason(self, site: Site) -> str:
        """What is known of the quantizers of what a node reads."""
        read = [name for name in site.node.input if name in self._quantizers]
        return next(filter(None, (reason_of(self._quantizers[name], self._reach[name]) for name in read)), "")


def _combined(
    exact: onnx.ModelProto,
    quantized: onnx.ModelProto,
    sites: Sequence[Site],
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
    renamed = inputs_of(exact, quantized)
    for tensor in quantized.graph.initializer:
        renamed[tensor.name] = QUANTIZED + tensor.name
        made.graph.initializer.add().CopyFrom(tensor)
        made.graph.initializer[-1].name = QUANTIZED + tensor.name
    renamed |= {name: QUANTIZED + name for node in quantized.graph.node for name in node.output if name}
    made.graph.node.extend(_copy(node, renamed, QUANTIZED) for node in quantized.graph.node)
    live = made_of_inputs(quantized.graph) | {entry.name for entry in free_inputs(quantized.graph)}
    for number, site in enumerate(sites):
        inner = {name: f"{ALONE}{number}/{name}" for node in site.cone for name in node.output if name}
        read = [name for node in site.cone for name in reads(node)]
        names = {name: stops[name] if name in live else renamed.get(name, name) for name in read if name not in inner}
        made.graph.node.extend(_copy(node, {**names, **inner}, f"{ALONE}{number}/") for node in site.cone)
        alone = inner[site.tensor] if site.cone else site.name
        made.graph.node.extend(_sums(made, number, site.name, alone, QUANTIZED + site.tensor))
    rows = numpy_helper.from_array(np.array([0, 0, -1], np.int64), f"{MARK}rows")
    axes = numpy_helper.from_array(np.array([0, 2], np.int64), f"{MARK}axes")
    made.graph.initializer.extend([rows, axes])
    made.graph.output.extend(exact.graph.output)
    for number, name in enumerate(inputs):
        flat, absolute, reach = (f"{MARK}{kind}{number}" for kind in ("flat", "absolute", "reach"))
        made.graph.node.add(op_type="Abs", input=[name], output=[absolute])
        made.graph.node.add(op_type="Reshape", input=[absolute, rows.name], output=[flat])
        if opset_of(made) >= AXES_AS_INPUT:
            made.graph.node.append(helper.make_node("ReduceMax", [flat, axes.name], [reach], keepdims=0))
        else:
            made.graph.node.append(helper.make_node("ReduceMax", [flat], [reach], keepdims=0, axes=[0, 2]))
        made.graph.output.add(name=reach)
    return made


def _copy(node: onnx.NodeProto, renamed: dict[str, str], prefix: str) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    copied.name = f"{prefix}{node.name}" if node.name else ""
    copied.output[:] = [renamed.get(name, name) for name in node.output]
    _rename_read(copied, renamed)
    return copied


def _rename_read(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    """What a node reads, and what graphs that it holds read of those around them."""
    node.input[:] = [renamed.get(name, name) for name in node.input]
    for inner in held_graphs(node):
        own = defined_in(inner)
        outside = {name: new for name, new in renamed.items() if name not in own}
        for each in inner.node:
            _rename_read(each, outside)
        for entry in inner.output:
            entry.name = outside.get(entry.name, entry.name)


def _sums(model: onnx.ModelProto, number: int, *names: str) -> Iterator[onnx.NodeProto]:
    """Sums of squares of the first tensor, and of its differences from the others; they become outputs."""
    exact, *others = names
    for place, other in enumerate((None, *others)):
        source, total = exact, f"{MARK}sum{number}.{place}"
        if other is not None:
            source = f"{MARK}difference{number}.{place}"
            yield helper.make_node("Sub", [exact, other], [source])
        yield helper.make_node("ReduceSumSquare", [source], [total], keepdims=0)
        model.graph.output.add(name=total)
