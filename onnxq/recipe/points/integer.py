"""Around everything that has integer kernels in ONNX Runtime. Quantization points of the targets for such kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.network import Network, Node
from onnxq.core.points import QuantPoint
from onnxq.recipe.points.base import POINTS, Points, all_readers, point_at
from onnxq.recipe.targets.onnxruntime import OnnxRuntime

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
        made = [node.outputs[0] for node in network.nodes if node.op in computed and self._is_wanted(network, node)]
        products = [network.behind_activation(tensor) for tensor in made if tensor in network.feature_maps]
        factors = [tensor for node in network.nodes if self._is_product(network, node) for tensor in node.inputs]
        others = dict.fromkeys(tensor for tensor in products if tensor is not None)
        others |= dict.fromkeys(tensor for tensor in factors if tensor in network.feature_maps)
        tensors = {**dict.fromkeys(layer.input for layer in network.layers), **others}
        shares = self._shared(network, set(tensors))
        points = [
            self._point(network, tensor, tensor not in others, None) for tensor in tensors if tensor not in shares
        ]
        return points + [self._point(network, tensor, True, source) for tensor, source in shares.items()]

    def _point(self, network: Network, tensor: str, for_layers_only: bool, shares: str | None) -> QuantPoint:
        return point_at(
            network,
            tensor,
            all_readers(network, tensor),
            layers=network.layers_reading(tensor),
            for_layers_only=for_layers_only,
            shares=shares,
        )

    @staticmethod
    def _is_product(network: Network, node: Node) -> bool:
        """Whether it multiplies what networks make, by each other or by a matrix."""
        return node.op == "MatMul" and node.inputs[0] in network.feature_maps

    @staticmethod
    def _is_wanted(network: Network, node: Node) -> bool:
        """Whether codes of what a node makes are of use.

        Not those of a MatMul that is read by nothing but a sum with a constant, which is quantized in its place; nor of
        a variance and what is added to it, before the root.
        """
        readers = network.readers(node.outputs[0])
        if node.op == "MatMul" and len(readers) == 1 and readers[0].op == "Add":
            return set(readers[0].inputs) <= network.feature_maps
        return not any(reader.op in ROOTS for reader in readers)

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
