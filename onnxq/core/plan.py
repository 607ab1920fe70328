"""What is quantized, and how. A ground type: made by ``decide``, changed by ``refine``, carried out by ``rewrite``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxq.core.points import QuantPoint
from onnxq.core.qparams import ActivationParams, QuantizedWeight
from onnxq.core.target import Target

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """All decisions on a network.

    Attributes:
        target: who is to run the file.
        layers: names of the quantized nodes, in execution order.
        points: tensor -> where its quantizer goes.
        activations: tensor -> its parameters, along axis 1; the keys of ``points``.
        weights: initializer -> its codes.
        biases: node -> float32 [C], where it is not that of the float network.
        rounded_parameters: rounds the bias of a layer, given its name and a vector, and what an unfolded batch norm
            holds, given None and a vector; None where these stay in float.
        stored: names of the nodes whose one input is a quantized weight; see ``Network.stored``.
        exact_products: layers' products are exact; otherwise every product and sum is rounded to the output's format.
    """

    target: Target
    layers: tuple[str, ...]
    points: dict[str, QuantPoint]
    activations: dict[str, ActivationParams]
    weights: dict[str, QuantizedWeight]
    biases: dict[str, Float32] = field(default_factory=dict)
    rounded_parameters: Callable[[str | None, Float32], Float32] | None = None
    exact_products: bool = True
    stored: tuple[str, ...] = ()

    @property
    def mean_bits(self) -> float:
        """Of a weight."""
        bits = [(float(weight.bits.mean()), weight.codes.size) for weight in self.weights.values()]
        return sum(width * count for width, count in bits) / max(sum(count for _, count in bits), 1)
