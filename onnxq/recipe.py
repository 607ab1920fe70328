"""What a user asks for: the recipe of a quantization."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from onnxq.errors import OnnxqError

Scheme = Literal["minmax", "aciq-laplace", "aciq-gauss", "std", "percentile"]
Granularity = Literal["per-channel", "per-tensor"]
Format = Literal["onnxq", "qdq"]

SCHEMES: tuple[Scheme, ...] = ("minmax", "aciq-laplace", "aciq-gauss", "std", "percentile")
GRANULARITIES: tuple[Granularity, ...] = ("per-channel", "per-tensor")
FORMATS: tuple[Format, ...] = ("onnxq", "qdq")


@dataclass(frozen=True)
class Recipe:
    """How to quantize.

    Attributes:
        scheme: how activation ranges are chosen; weights always take their full range.
        act_bits, weight_bits: 2 to 8.
        act_granularity, weight_granularity: one grid a channel, or one a tensor.
        edge_bits: for weights and input of the first and the last layer, 2 to 8.
        skip: names or shell patterns of layers left in float.
        std_multiplier: k of the scheme ``std``, whose threshold is k standard deviations.
        percentile: share of values kept by the scheme ``percentile``.
        format: ``onnxq`` operators with packed weights, or standard ``qdq``.

    Raises:
        OnnxqError: a value is out of its range.
    """

    scheme: Scheme = "aciq-laplace"
    act_bits: int = 4
    weight_bits: int = 4
    act_granularity: Granularity = "per-channel"
    weight_granularity: Granularity = "per-channel"
    edge_bits: int = 8
    skip: tuple[str, ...] = ()
    std_multiplier: float = 2.0
    percentile: float = 99.99
    format: Format = "onnxq"

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise OnnxqError(f"unknown scheme {self.scheme!r}; use one of {', '.join(SCHEMES)}")
        if self.format not in FORMATS:
            raise OnnxqError(f"unknown format {self.format!r}; use one of {', '.join(FORMATS)}")
        for granularity in (self.act_granularity, self.weight_granularity):
            if granularity not in GRANULARITIES:
                raise OnnxqError(f"unknown granularity {granularity!r}; use one of {', '.join(GRANULARITIES)}")
        for name in ("act_bits", "weight_bits", "edge_bits"):
            if not 2 <= getattr(self, name) <= 8:
                raise OnnxqError(f"{name.replace('_', ' ')} must lie between 2 and 8, not {getattr(self, name)}")
        if not self.std_multiplier > 0:
            raise OnnxqError("the multiplier of the standard deviation must be positive")
        if not 50 < self.percentile <= 100:
            raise OnnxqError("the percentile must be above 50 and at most 100")

    def to_json(self) -> str:
        """As one line of JSON, for a file's metadata."""
        return json.dumps(dataclasses.asdict(self))
