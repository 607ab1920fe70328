"""The structure of a network, without ONNX: what quantization points are chosen from.

A ground type: made by ``graph.analysis``, read by ``recipe.points``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from onnxq.core.layers import Layer


@dataclass(frozen=True)
class Node:
    """An operator.

    Attributes:
        name, op: of the node. inputs, outputs: names of tensors; '' where an optional one is left out.
        clamps_to: the upper bound of a ReLU (infinite) or of a Clip from zero; None for any other node.
        pads_with: the one value that a Pad writes, None if it is computed; 0 for any other node.
        interpolates: it is a Resize that makes other values than those of its input.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    clamps_to: float | None = None
    pads_with: float | None = 0.0
    interpolates: bool = False


@dataclass(frozen=True)
class Network:
    """A normalized graph.

    Attributes:
        nodes: in execution order. layers: those with weights, likewise.
        inputs, outputs: names of tensors.
        ranks: number of dimensions of tensors, where it is known.
        feature_maps: tensors with images and channels, unlike what graphs compute shapes with; empty where shapes were
            not inferred.
        stored: weights of other nodes (ConvTranspose, recurrent ones), which alone are quantized.
        decoding: names of nodes that make numbers of a Softmax by constant weights (``Layer.decodes``).
    """

    nodes: tuple[Node, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ranks: dict[str, int]
    feature_maps: frozenset[str] = frozenset()
    stored: tuple[Layer, ...] = ()
    decoding: frozenset[str] = frozenset()

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {tensor: node for node in self.nodes for tensor in node.outputs}

    @cached_property
    def _readers(self) -> dict[str, list[Node]]:
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                readers.setdefault(tensor, []).append(node)
        return readers

    def producer(self, tensor: str) -> Node | None:
        """The node that makes a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def readers(self, tensor: str) -> list[Node]:
        """The nodes that read a tensor, each once, in execution order."""
        return self._readers.get(tensor, [])

    def layers_reading(self, tensor: str) -> tuple[str, ...]:
        """Names of the layers whose input a tensor is."""
        return tuple(layer.name for layer in self.layers if layer.input == tensor)

    def pre_activation(self, tensor: str) -> tuple[str, float] | None:
        """The tensor before the ReLU or Clip that made this one, and what that clamps to; None where there is none."""
        node = self.producer(tensor)
        if node is None or node.clamps_to is None:
            return None
        return node.inputs[0], node.clamps_to

    def behind_activation(self, tensor: str) -> str | None:
        """The tensor behind the ReLUs and Clips that alone read this one; None where it is the network's output."""
        while tensor not in self.outputs:
            readers = self.readers(tensor)
            if len(readers) != 1 or readers[0].clamps_to is None:
                return tensor
            tensor = readers[0].outputs[0]
        return None

    def is_non_negative(self, tensor: str, keep_sign: Iterable[str]) -> bool:
        """Whether a tensor cannot be negative, whatever the input.

        Args:
            keep_sign: operators whose output is non-negative where their inputs are.
        """
        pending, seen = [tensor], set()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            node = self.producer(current)
            if node is None:
                return False
            if node.clamps_to is not None or node.op in ("Sigmoid", "HardSigmoid"):
                continue
            if node.op not in keep_sign or node.pads_with != 0:
                return False
            pending.extend(node.inputs if node.op in ("Concat", "Add") else node.inputs[:1])
        return True
