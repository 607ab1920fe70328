"""Where quantizers sit. A ground type: decided by ``recipe.points`` alone, read by all stages."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class QuantPoint:
    """A tensor to quantize.

    Attributes:
        tensor: its name. rank: its number of dimensions.
        readers: names of the nodes that are to read the quantized tensor; others keep the exact one.
        layers: names of the layers whose bits it takes, the widest of them.
        feeds_layers: these layers read it, so that their weights tell what an error in a channel costs.
        for_layers_only: it stays in float where all of these layers do.
        pre_activation: the tensor before the ReLU or Clip that made it, if that is what made it.
        upper: what that Clip clamps to; infinite for a ReLU.
        non_negative: it cannot be negative, whatever the input.
        shares: another tensor, whose values it has, and whose quantizer it gets.
        is_output: it is an output of the network, which is to be the quantized one.
        whole_bits: it gets so many bits as a whole tensor, over all that was seen, whatever the recipe says of others;
            0 for what the recipe says.
    """

    tensor: str
    rank: int
    readers: tuple[str, ...]
    layers: tuple[str, ...] = ()
    feeds_layers: bool = False
    for_layers_only: bool = True
    pre_activation: str | None = None
    upper: float = math.inf
    non_negative: bool = False
    shares: str | None = None
    is_output: bool = False
    whole_bits: int = 0

    @property
    def observed(self) -> str:
        """The tensor whose statistics tell those of this one: that before the ReLU or Clip tells both."""
        return self.pre_activation or self.tensor
