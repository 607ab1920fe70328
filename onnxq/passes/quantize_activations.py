"""Put a quantizer on every planned activation.

Placement ``inputs``: the quantized layers read what it makes, other consumers do not. ``all-inputs``: ReLU and pooling
read it too. ``outputs`` and ``every-op``: all consumers do; of ``every-op`` the network's outputs are quantized as
well, and keep their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.dynamic import DynamicRange
from onnxq.grids.codebook import CodebookGrid
from onnxq.grids.fixed_point import FixedPointGrid
from onnxq.grids.mid_tread import MidTreadGrid
from onnxq.grids.uniform import broadcastable
from onnxq.network import READERS
from onnxq.operators import (
    DOMAIN,
    dynamic_range,
    fake_quantize,
    fake_quantize_codebook,
    fake_quantize_fixed_point,
    fake_quantize_mid_tread,
)
from onnxq.passes.names import Names
from onnxq.plan import ActivationQuantizer, Plan

CHANNEL_AXIS = 1


@dataclass(frozen=True)
class Site:
    """Where a quantizer goes: its tensor, that tensor's rank, and the nodes that are to read the quantized one."""

    tensor: gs.Tensor
    rank: int
    consumers: list[gs.Node]
    quantizer: ActivationQuantizer

    def redirect(self, quantized: gs.Tensor) -> None:
        """Let the consumers read ``quantized``."""
        for node in self.consumers:
            node.inputs = [quantized if tensor is self.tensor else tensor for tensor in node.inputs]


def sites(graph: gs.Graph, plan: Plan) -> Iterator[Site]:
    """All of a plan, in its order."""
    tensors = graph.tensors()
    layers = {node.name: node for node in graph.nodes if node.name in set(plan.layers)}
    ranks: dict[str, int] = {}  # a layer's weight has the rank of its input and of its output
    for node in layers.values():
        rank = len(node.inputs[1].shape)
        ranks |= {node.inputs[0].name: rank, node.outputs[0].name: rank}
        tensor = node.outputs[0]
        while len(tensor.outputs) == 1 and tensor.outputs[0].op in ("Relu", "Clip"):
            tensor = tensor.outputs[0].outputs[0]
            ranks[tensor.name] = rank
    for name, quantizer in plan.activations.items():
        tensor = tensors[name]
        readers = list(dict.fromkeys(map(id, tensor.outputs)))
        consumers = [next(node for node in tensor.outputs if id(node) == reader) for reader in readers]
        if plan.recipe.placement in ("inputs", "all-inputs"):
            others = READERS if plan.recipe.placement == "all-inputs" else ()
            consumers = [
                node for node in consumers if node.inputs[0] is tensor and (node.name in layers or node.op in others)
            ]
        rank = ranks[name] if name in ranks else len(tensor.shape or ())
        yield Site(tensor, rank, consumers, quantizer)


def quantize_activations(graph: gs.Graph, plan: Plan) -> bool:
    """Insert the quantizers of ``plan.activations``."""
    names = Names(graph)
    tensors = graph.tensors()
    for site in list(sites(graph, plan)):
        quantized = _insert(graph, names, tensors, site)
        site.redirect(quantized)
        if plan.recipe.placement == "every-op" and any(site.tensor is output for output in graph.outputs):
            graph.outputs = [quantized if output is site.tensor else output for output in graph.outputs]
            quantized.name, site.tensor.name = site.tensor.name, names.fresh(f"{site.tensor.name}/exact")
    return bool(plan.activations)


def _insert(graph: gs.Graph, names: Names, tensors: dict[str, gs.Tensor], site: Site) -> gs.Tensor:
    name, quantizer = site.tensor.name, site.quantizer

    def constant(field: str, values: NDArray[np.generic]) -> gs.Constant:
        return gs.Constant(names.fresh(f"{name}/{field}"), broadcastable(values, site.rank, CHANNEL_AXIS))

    def node(operator: str, inputs: list[gs.Tensor], outputs: list[gs.Tensor], **attributes: int) -> None:
        node_name = names.fresh(f"{name}/{operator}")
        graph.nodes.append(gs.Node(operator, node_name, attributes, inputs, outputs, domain=DOMAIN))

    quantized = gs.Variable(names.fresh(f"{name}/quantized"), site.tensor.dtype, site.tensor.shape)
    if isinstance(quantizer, MidTreadGrid):
        parameters = [constant(field, getattr(quantizer, field)) for field in ("scale", "first", "last")]
        node(fake_quantize_mid_tread.NAME, [site.tensor, *parameters], [quantized])
        return quantized
    if isinstance(quantizer, CodebookGrid):
        levels = gs.Constant(names.fresh(f"{name}/levels"), quantizer.levels)
        node(fake_quantize_codebook.NAME, [site.tensor, constant("scale", quantizer.scale), levels], [quantized])
        return quantized
    if isinstance(quantizer, FixedPointGrid):
        inputs = [site.tensor, constant("fraction_bits", quantizer.fraction_bits)]
        attributes = fake_quantize_fixed_point.attributes_of(quantizer)
        node(fake_quantize_fixed_point.NAME, inputs, [quantized], **attributes)
        return quantized
    bits = constant("bits", quantizer.bits)
    if isinstance(quantizer, DynamicRange):
        axes = [axis for axis in range(site.rank) if not (quantizer.per_channel and axis == CHANNEL_AXIS)]
        inputs = [
            tensors[quantizer.source],
            gs.Constant(names.fresh(f"{name}/axes"), np.array(axes, np.int64)),
            bits,
            constant("b_multiplier", quantizer.b_multiplier),
            constant("std_multiplier", quantizer.std_multiplier),
            gs.Constant(names.fresh(f"{name}/half"), np.array(quantizer.half)),
            gs.Constant(names.fresh(f"{name}/rectified"), np.array(quantizer.rectified)),
            gs.Constant(names.fresh(f"{name}/limit"), np.array(quantizer.limit, np.float32)),
        ]
        grid = [gs.Variable(names.fresh(f"{name}/{field}"), np.float32) for field in ("scale", "zero_point")]
        node(dynamic_range.NAME, inputs, grid)
    else:
        grid = [constant("scale", quantizer.scale), constant("zero_point", quantizer.zero_point)]
    node(fake_quantize.NAME, [site.tensor, *grid, bits], [quantized])
    return quantized
