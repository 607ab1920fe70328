"""A layer with weights, as all stages see it. A ground type: made by ``graph.analysis``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layer:
    """A Conv or Gemm with constant weights.

    Attributes:
        name: the node. op: 'Conv' or 'Gemm'.
        input, output: the tensors that it reads and makes.
        weight_name: the initializer.
        weight: float32 [C, I / group, ...], output channels first.
        bias: float32 [C], or None where there is none, or the graph computes it.
        computed_bias: the graph computes the bias.
        group: of a grouped convolution; output channel c sees the inputs of group c // (C / group).
        strides, dilations: a value for each spatial axis. pads: the starts of all axes, then the ends.
        auto_pad: as ONNX has it; where it is not 'NOTSET', ``pads`` says nothing.
        decodes: it makes numbers of a Softmax, as heads of detectors do of distributions of box sides.
        first_or_last: no layer precedes it, or none follows. last: others precede it, and none follows.
        aliases: the names of what it makes and of its weight, where no node has them.
    """

    name: str
    op: str
    input: str
    output: str
    weight_name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    computed_bias: bool = False
    group: int = 1
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"
    decodes: bool = False
    first_or_last: bool = False
    last: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """By which it can be called."""
        return self.name, *self.aliases

    def is_called(self, pattern: str) -> bool:
        """Whether one of these is this name, or matches this shell pattern."""
        return any(fnmatchcase(name, pattern) for name in self.names)

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return len(self.weight)


def how_named(layers: Sequence[Layer]) -> str:
    """For people who look for the name of a layer: those at the ends of a network."""
    names = list(dict.fromkeys(layer.name for layer in (*layers[:2], *layers[-2:])))
    weight = f", or by their weights, like {layers[-1].weight_name}" if layers else ""
    return f"layers are named like {', '.join(names)}{weight}"
