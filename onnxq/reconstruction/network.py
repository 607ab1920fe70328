"""A graph in torch, parts of which are modules whose parameters can be learnt. A part of ``reconstruction``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
import torch
from torch import Tensor

from onnxq.operators import fake_quantize
from onnxq.reconstruction.fake_quantize import FakeQuantize
from onnxq.reconstruction.onnx_nodes import OPERATIONS, run_node


def unknown_operators(graph: gs.Graph) -> list[str]:
    """Operators of a graph that cannot be learnt through."""
    known = {*OPERATIONS, fake_quantize.NAME}
    return sorted({node.op for node in graph.nodes if node.op not in known or any(map(_is_graph, node.attrs.values()))})


def _is_graph(value: Any) -> bool:
    return isinstance(value, gs.Graph)


class LearntLayer(torch.nn.Module):
    """Weight and bias of a layer: the weight times exp(``log_gain``), which is learnt, as is the bias.

    Args:
        weight: float32 [C, ...]. bias: float32 [C]; None where the graph computes it.
        gains: how many: C, 1 or 0.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, gains: int) -> None:
        super().__init__()
        self.weight = weight
        self.log_gain = torch.nn.Parameter(torch.zeros(gains, *[1] * (weight.ndim - 1), device=weight.device))
        self.bias = torch.nn.Parameter(bias.clone()) if bias is not None else None

    def operands(self) -> list[Tensor]:
        """What the node reads behind its first input."""
        weight = self.weight * torch.exp(self.log_gain) if len(self.log_gain) else self.weight
        return [weight] if self.bias is None else [weight, self.bias]


class TorchNetwork:
    """A graph of known operators.

    Args:
        graph: sorted; nothing of it is changed. device: of torch.
        layers: what nodes compute with instead of their constants, by name of the node.
    """

    def __init__(self, graph: gs.Graph, device: str, layers: Mapping[str, LearntLayer]) -> None:
        self._graph, self._device = graph, device
        self.layers = dict(layers)
        self._constants: dict[str, Tensor] = {}
        self.quantizers: dict[str, FakeQuantize] = {}
        self._last = {tensor.name: place for place, node in enumerate(graph.nodes) for tensor in node.inputs}
        for node in graph.nodes:
            if node.op == fake_quantize.NAME:
                scale, zero_point, bits = (self._constant(tensor) for tensor in node.inputs[1:])
                self.quantizers[node.name] = FakeQuantize(scale, zero_point, bits)

    def parameters(self) -> list[torch.nn.Parameter]:
        """All that can be learnt."""
        parts = (*self.quantizers.values(), *self.layers.values())
        return list(dict.fromkeys(each for part in parts for each in part.parameters()))  # some serve several

    def __call__(self, x: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """The tensors of these names."""
        known: dict[str, Any] = {self._graph.inputs[0].name: x}
        found: dict[str, Tensor] = {}
        for place, node in enumerate(self._graph.nodes):
            made = self._run(node, known)
            for tensor, values in zip(node.outputs, made, strict=False):
                known[tensor.name] = values
                if tensor.name in wanted:
                    found[tensor.name] = values
            for tensor in node.inputs:
                if self._last[tensor.name] == place:
                    known.pop(tensor.name, None)
        return found

    def _run(self, node: gs.Node, known: Mapping[str, Any]) -> list[Any]:
        def value(tensor: gs.Tensor) -> Any:
            if tensor.name in known:
                return known[tensor.name]
            return None if tensor.is_empty() else self._constant(tensor)

        if node.name in self.quantizers:
            return [self.quantizers[node.name](value(node.inputs[0]))]
        if node.name in self.layers:
            operands = self.layers[node.name].operands()
            rest = [value(tensor) for tensor in node.inputs[1 + len(operands) :]]
            return run_node(node, [value(node.inputs[0]), *operands, *rest])
        return run_node(node, [value(tensor) for tensor in node.inputs])

    def _constant(self, tensor: gs.Constant) -> Tensor:
        if tensor.name not in self._constants:
            values = torch.from_numpy(np.array(tensor.values))
            # shapes and axes are read by the host
            self._constants[tensor.name] = values.to(self._device) if values.is_floating_point() else values
        return self._constants[tensor.name]
