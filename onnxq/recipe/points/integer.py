"""Around everything that has integer kernels in ONNX Runtime. Quantization points of the targets for such kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.network import Network, Node
from onnxq.core.points import QuantPoint
from onnxq.recipe.points.base import POINTS, Points, all_readers, point_at
from onnxq.recipe.targets.onnxruntime import OnnxRuntime

MULTIPLYING = ("Conv", "Gemm", "MatMul")
ROOTS = ("Sqrt", "Pow", "Reciprocal", "Log")


@POINTS.register("integer")
@dataclass(frozen=True)
class AroundIntegerKernels(Points):
    """The inputs of layers, and what they and other operators with integer kernels make, behind their ReLU.

    Operators that only move values share the quantizer of their input.
    """

    for_integer_kernels: ClassVar[bool] = True
    needs_shapes: ClassVar[bool] = True
    at_inputs: ClassVar[bool] = True
    contain: ClassVar[tuple[str, ...]] = ("inputs",)
    facts: ClassVar[OnnxRuntime] = OnnxRuntime()

    def of(self, network: Network) -> list[QuantPoint]:
        """As ``Points.of``."""
        computed = ("Conv", "Gemm", *self.facts.fused_operators)
        made = [node for node in network.nodes if node.op in computed and self._is_wanted(network, node)]
        read = self._before_layers(network)
        products = [
            behind
            for node in made
            if node.outputs[0] in network.feature_maps
            and (behind := network.behind_activation(node.outputs[0])) is not None
            and (behind in read or node.op in self.facts.quantized_outputs)
        ]
        factors = [tensor for node in network.nodes if self._is_product(network, node) for tensor in node.inputs]
        others = dict.fromkeys(products)
        others |= dict.fromkeys(tensor for tensor in factors if tensor in network.feature_maps)
        tensors = {**dict.fromkeys(layer.input for layer in network.layers), **others}
        shares = self._shared(network, set(tensors))
        readers = {tensor: network.layers_reading(tensor) for tensor in tensors}
        for tensor, source in shares.items():  # who reads a copy of its values
            readers[source] = (*readers[source], *network.layers_reading(tensor))
        points = [
            self._point(network, tensor, readers[tensor], tensor not in others, None)
            for tensor in tensors
            if tensor not in shares
        ]
        return points + [
            self._point(network, tensor, network.layers_reading(tensor), True, source)
            for tensor, source in shares.items()
        ]

    def _point(
        self, network: Network, tensor: str, layers: tuple[str, ...], for_layers_only: bool, shares: str | None
    ) -> QuantPoint:
        return point_at(
            network,
            tensor,
            all_readers(network, tensor),
            layers=layers,
            for_layers_only=for_layers_only,
            shares=shares,
        )

    @staticmethod
    def _before_layers(network: Network) -> set[str]:
        """Tensors that a layer or product comes behind: what is computed of results alone stays as exact as it is."""
        found: set[str] = set()
        for node in reversed(network.nodes):
            if (node.op in MULTIPLYING and node.name not in network.decoding) or not found.isdisjoint(node.outputs):
                found.update(node.inputs)
        return found

    @staticmethod
    def _is_product(network: Network, node: Node) -> bool:
        """Whether it multiplies what networks make, by each other or by a matrix."""
        is_of_features = node.op == "MatMul" and node.inputs[0] in network.feature_maps
        return is_of_features and node.name not in network.decoding

    @staticmethod
    def _is_wanted(network: Network, node: Node) -> bool:
        """Whether codes of what a node makes are of use.

        Not those of a MatMul that is read by nothing but a sum with a constant, which is quantized in its place; nor of
        a variance and what is added to it, before the root.
        """
        readers = network.readers(node.outputs[0])
        if node.op == "MatMul" and len(readers) == 1 and readers[0].op == "Add":
            return set(readers[0].inputs) <= network.feature_maps
        return node.name not in network.decoding and not any(reader.op in ROOTS for reader in readers)

    def _shared(self, network: Network, quantized: set[str]) -> dict[str, str]:
        """Tensors that only move the values of quantized ones, and those."""
        shares: dict[str, str] = {}
        for node in network.nodes:
            source = node.inputs[0] if node.inputs else ""
            if self._moves(node) and (source in quantized or source in shares):
                kept = [output for output in node.outputs if output and output not in network.outputs]
                shares |= dict.fromkeys(kept, shares.get(source, source))
        return shares

    def _moves(self, node: Node) -> bool:
        return node.op in self.facts.moving_operators and node.pads_with == 0 and not node.interpolates
