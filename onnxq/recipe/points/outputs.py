"""Behind layers, and behind all operators that compute. Quantization points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.network import Network
from onnxq.core.points import QuantPoint
from onnxq.recipe.points.base import KEEP_SIGN, MOVING, POINTS, Points, all_readers, point_at

WHOLE_BITS = 8  # of pooling and logits, in the published system
# What leaves values on their grid; ``every-op`` rounds behind all other operators.
KEEPS_VALUES = (
    *MOVING,
    *("Relu", "Clip", "Concat", "Split", "Gather", "Expand", "Tile", "Identity", "Dropout", "Max", "Min", "Where"),
    *("GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "Cast", "Constant", "Shape"),
)


@POINTS.register("outputs")
@dataclass(frozen=True)
class Outputs(Points):
    """The outputs of Conv and Gemm, behind their ReLU, as the published ACIQ system has them.

    The network's own outputs stay exact.
    """

    def of(self, network: Network) -> list[QuantPoint]:
        """As ``Points.of``."""
        makers: dict[str, list[str]] = {}
        for layer in network.layers:
            tensor = network.behind_activation(layer.output)
            if tensor is not None:
                makers.setdefault(tensor, []).append(layer.name)
        return [
            point_at(network, tensor, all_readers(network, tensor), layers=tuple(layers))
            for tensor, layers in makers.items()
        ]


@POINTS.register("published-outputs")
@dataclass(frozen=True)
class PublishedOutputs(Outputs):
    """And, as published, 8 bits for what max pooling makes and for the logits, each tensor as a whole."""

    contain: ClassVar[tuple[str, ...]] = ("outputs",)

    def of(self, network: Network) -> list[QuantPoint]:
        """As ``Points.of``."""
        known = super().of(network)
        taken = {point.tensor for point in known}
        pooled = [node.outputs[0] for node in network.nodes if node.op == "MaxPool"]
        logits = [layer.output for layer in network.layers if layer.output in network.outputs]
        others = [tensor for tensor in dict.fromkeys([*pooled, *logits]) if tensor not in taken]
        return [*known, *(self._whole(network, tensor) for tensor in others)]

    @staticmethod
    def _whole(network: Network, tensor: str) -> QuantPoint:
        return point_at(
            network,
            tensor,
            all_readers(network, tensor),
            for_layers_only=False,
            is_output=tensor in network.outputs,
            whole_bits=WHOLE_BITS,
        )


@POINTS.register("every-op")
@dataclass(frozen=True)
class EveryOp(Points):
    """The network's inputs, and the outputs of all operators that compute: what a machine of that format computes."""

    needs_shapes: ClassVar[bool] = True

    def of(self, network: Network) -> list[QuantPoint]:
        """As ``Points.of``."""
        made = {layer.output: (layer.name,) for layer in network.layers}
        computed = [node.outputs[0] for node in network.nodes if node.op not in KEEPS_VALUES]
        others = [tensor for tensor in dict.fromkeys([*network.inputs, *computed]) if tensor in network.feature_maps]
        points = [self._point(network, tensor, layers, True) for tensor, layers in made.items()]
        points += [
            self._point(network, tensor, network.layers_reading(tensor), False)
            for tensor in others
            if tensor not in made
        ]
        return points

    def _point(self, network: Network, tensor: str, layers: tuple[str, ...], for_layers_only: bool) -> QuantPoint:
        return QuantPoint(
            tensor,
            network.ranks.get(tensor, 0),
            all_readers(network, tensor),
            layers,
            for_layers_only=for_layers_only,
            non_negative=network.is_non_negative(tensor, KEEP_SIGN),
            is_output=tensor in network.outputs,
        )


@POINTS.register("every-op-unfolded")
@dataclass(frozen=True)
class EveryOpUnfolded(EveryOp):
    """The same where batch norm is not folded: its parameters and what it makes are rounded, too."""

    keeps_batch_norm: ClassVar[bool] = True
