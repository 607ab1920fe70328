"""At the inputs of layers: the default. Quantization points; residual sums stay exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.network import Network
from onnxq.core.points import QuantPoint
from onnxq.recipe.points.base import POINTS, Points, point_at

# Read by ``all-inputs`` beside the layers.
READERS = ("Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean")


@POINTS.register("inputs")
@dataclass(frozen=True)
class Inputs(Points):
    """The inputs of Conv and Gemm; other readers of these tensors keep the exact ones."""

    at_inputs: ClassVar[bool] = True
    other_readers: ClassVar[tuple[str, ...]] = ()

    def of(self, network: Network) -> list[QuantPoint]:
        """As ``Points.of``."""
        of_layers = dict.fromkeys(layer.input for layer in network.layers)
        others = dict.fromkeys(
            node.inputs[0]
            for node in network.nodes
            if node.op in self.other_readers and node.inputs[0] in network.feature_maps
        )
        return [self._point(network, tensor, tensor in others) for tensor in {**of_layers, **others}]

    def _point(self, network: Network, tensor: str, others: bool) -> QuantPoint:
        layers = network.layers_reading(tensor)
        readers = [
            node.name
            for node in network.readers(tensor)
            if node.inputs[0] == tensor and (node.name in layers or node.op in self.other_readers)
        ]
        return point_at(network, tensor, readers, layers=layers, feeds_layers=True, for_layers_only=not others)


@POINTS.register("all-inputs")
@dataclass(frozen=True)
class AllInputs(Inputs):
    """The inputs of Conv, Gemm, ReLU, Clip and pooling, as the published histogram system has them."""

    needs_shapes: ClassVar[bool] = True
    at_inputs: ClassVar[bool] = False
    contain: ClassVar[tuple[str, ...]] = ("inputs",)
    other_readers: ClassVar[tuple[str, ...]] = READERS
