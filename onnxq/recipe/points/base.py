"""What a choice of quantization points is. A part of ``recipe.points``, read by all stages through ``QuantPoint``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from onnxq.core.network import Network
from onnxq.core.points import QuantPoint
from onnxq.core.registry import Registry

# Operators whose output is non-negative where their inputs are.
MOVING = ("MaxPool", "Flatten", "Reshape", "Slice", "Split", "Pad", "Squeeze", "Unsqueeze", "Transpose")
KEEP_SIGN = (*MOVING, "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Concat", "ReduceMean", "Add")


@dataclass(frozen=True)
class Points:
    """Where quantizers sit.

    Attributes:
        for_integer_kernels: the network is to consist of operators that have such.
        needs_shapes: it must know which tensors have images and channels.
        keeps_batch_norm: batch norm stays beside its layer, as an operator with a quantizer of its own.
        at_inputs: each layer reads a quantized tensor, whose statistics are known.
        contain: names of other points whose statistics those of these have, too.
    """

    for_integer_kernels: ClassVar[bool] = False
    needs_shapes: ClassVar[bool] = False
    keeps_batch_norm: ClassVar[bool] = False
    at_inputs: ClassVar[bool] = False
    contain: ClassVar[tuple[str, ...]] = ()

    def of(self, network: Network) -> list[QuantPoint]:
        """The points of a network: those of layers first, then the others, each in execution order."""
        raise NotImplementedError


POINTS: Registry[Points] = Registry("quantization points", "onnxq.recipe.points")


def point_at(network: Network, tensor: str, readers: Iterable[str], **fields: Any) -> QuantPoint:
    """A point whose statistics are those of the tensor before its ReLU or Clip, if that made it."""
    before = network.pre_activation(tensor)
    name, upper = before if before is not None else (None, float("inf"))
    non_negative = before is not None or network.is_non_negative(tensor, KEEP_SIGN)
    rank = network.ranks.get(tensor, 0)
    return QuantPoint(
        tensor, rank, tuple(readers), pre_activation=name, upper=upper, non_negative=non_negative, **fields
    )


def all_readers(network: Network, tensor: str) -> tuple[str, ...]:
    """Names of all nodes that read a tensor."""
    return tuple(node.name for node in network.readers(tensor))
