"""A layer with weights, as all stages see it. A ground type: made by ``graph.analysis``."""

from __future__ import annotations

from dataclasses import dataclass

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

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return len(self.weight)
