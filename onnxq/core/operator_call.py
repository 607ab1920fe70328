"""A node to write, as data. A ground type: formats say what computes them, ``rewrite`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

DOMAIN = "onnxq"


@dataclass(frozen=True)
class Tensor:
    """An input that is a tensor of the graph, by its name."""

    name: str


@dataclass(frozen=True)
class Made:
    """An input that an earlier call of the same chain makes, by the name that the call gives it."""

    output: str


class Subject:
    """An input that is the tensor which is being quantized."""


SUBJECT = Subject()
Input = NDArray[Any] | Tensor | Made | Subject


@dataclass(frozen=True)
class OperatorCall:
    """One node; a quantizer is a chain of them, whose last output is the quantized tensor.

    Attributes:
        operator: its name.
        inputs: in order; arrays become constants, called after their key.
        outputs: names within the chain.
        attributes: of the node.
        domain: of the operator; '' for standard ones.
    """

    operator: str
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] = ("quantized",)
    attributes: Mapping[str, int] = field(default_factory=dict)
    domain: str = DOMAIN
