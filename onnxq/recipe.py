"""What a user asks for: the recipe of a quantization."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Literal, get_args

from onnxq.errors import OnnxqError

Scheme = Literal[
    "aciq", "aciq-laplace", "aciq-gauss", "minmax", "mse", "entropy", "percentile", "std", "mid-tread"
]  # fmt: skip
Granularity = Literal["per-channel", "per-tensor"]
Format = Literal["onnxq", "qdq"]
BitAllocation = Literal["none", "weights", "activations", "both"]
WeightGrid = Literal["uniform", "kmeans"]
WeightCorrection = Literal["none", "mean", "mean-variance"]
BiasCorrection = Literal["none", "statistics", "images"]
Placement = Literal["inputs", "outputs"]
Ranges = Literal["static", "dynamic"]

DYNAMIC_SCHEMES = ("aciq-laplace", "aciq-gauss", "std", "minmax")


def choices(literal: object) -> tuple[str, ...]:
    """The values that a field may take.

    >>> choices(Granularity)
    ('per-channel', 'per-tensor')
    """
    return get_args(literal)


CHOICES = {
    "scheme": Scheme,
    "format": Format,
    "act_granularity": Granularity,
    "weight_granularity": Granularity,
    "bit_alloc": BitAllocation,
    "weights": WeightGrid,
    "weight_correction": WeightCorrection,
    "bias_correction": BiasCorrection,
    "placement": Placement,
    "ranges": Ranges,
}


@dataclass(frozen=True)
class Recipe:
    """How to quantize.

    Attributes:
        scheme: how activation ranges are chosen (``onnxq.activations``); ``mid-tread`` is a grid of its own, for
            weights too.
        act_bits, weight_bits: 2 to 8; fractions where bits are allocated, or with ``mid-tread`` (log2 of the bins).
        act_granularity, weight_granularity: one grid a channel, or one a tensor.
        bit_alloc: which channels get bits of their own, ``act_bits`` and ``weight_bits`` being their mean. None stands
            for all that can: those with per-channel uniform grids, in onnxq's own format.
        weights: their grid; ``kmeans`` is a codebook of 2^bits levels.
        weight_correction: what is restored in each channel of quantized weights. None stands for ``mean``, and for
            ``none`` in the format ``qdq``, whose integer zero points cannot hold it.
        bias_correction: what is added to the biases of layers: nothing, the expected error of their output that
            follows from the statistics of their input, or the error measured on calibration images. None stands for
            ``statistics`` where these are of the inputs and the grid is uniform and static, for ``none`` elsewhere.
        edge_bits: for weights and activations of the first and the last layer, 2 to 8.
        skip: names or shell patterns of layers left in float.
        placement: quantizers at the ``inputs`` of layers, or at their ``outputs`` as in the published ACIQ system.
        ranges: ``static``, or ``dynamic``: those of the current batch.
        std_multiplier: k of the scheme ``std``, whose threshold is k standard deviations.
        percentile: share of values kept by the scheme ``percentile``.
        format: ``onnxq`` operators with packed weights, or standard ``qdq``.
        published: compute what the published ACIQ code does where ours is better (``onnxq.published``).

    Raises:
        OnnxqError: a value is out of its range, or two do not go together.
    """

    scheme: Scheme = "aciq"
    act_bits: float = 4
    weight_bits: float = 4
    act_granularity: Granularity = "per-channel"
    weight_granularity: Granularity = "per-channel"
    bit_alloc: BitAllocation | None = None
    weights: WeightGrid = "uniform"
    weight_correction: WeightCorrection | None = None
    bias_correction: BiasCorrection | None = None
    edge_bits: int = 8
    skip: tuple[str, ...] = ()
    placement: Placement = "inputs"
    ranges: Ranges = "static"
    std_multiplier: float = 2.0
    percentile: float = 99.99
    format: Format = "onnxq"
    published: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        object.__setattr__(self, "skip", (self.skip,) if isinstance(self.skip, str) else tuple(self.skip))
        if self.bit_alloc is None:
            object.__setattr__(self, "bit_alloc", self._possible_allocation)
        if self.weight_correction is None:
            object.__setattr__(self, "weight_correction", "none" if self.format == "qdq" else "mean")
        if self.bias_correction is None:
            object.__setattr__(self, "bias_correction", "statistics" if self._knows_its_inputs else "none")
        for field, literal in CHOICES.items():
            if (value := getattr(self, field)) not in choices(literal):
                raise OnnxqError(
                    f"{field.replace('_', ' ')}: no {value!r}; use one of {', '.join(choices(literal))}"
                )  # fmt: skip
        for field in ("act_bits", "weight_bits", "edge_bits"):
            if not 2 <= getattr(self, field) <= 8:
                raise OnnxqError(f"{field.replace('_', ' ')} must lie between 2 and 8, not {getattr(self, field)}")
        if self.edge_bits != int(self.edge_bits):
            raise OnnxqError("edge bits must be a whole number")
        for field, allocated in (("act_bits", self.allocates_activations), ("weight_bits", self.allocates_weights)):
            if getattr(self, field) % 1 and not allocated and self.scheme != "mid-tread":
                raise OnnxqError(
                    f"{field.replace('_', ' ')} can be a fraction only where channels have bits of their own"
                )
        if not self.std_multiplier > 0:
            raise OnnxqError("the multiplier of the standard deviation must be positive")
        if not 50 < self.percentile <= 100:
            raise OnnxqError("the percentile must be above 50 and at most 100")
        self._check_combinations()

    def _check_types(self) -> None:
        for field in ("act_bits", "weight_bits", "edge_bits", "std_multiplier", "percentile"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise OnnxqError(f"{field.replace('_', ' ')} must be a number, not {value!r}")
        if not isinstance(self.published, bool):
            raise OnnxqError(f"published must be true or false, not {self.published!r}")
        patterns = [self.skip] if isinstance(self.skip, str) else self.skip
        if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
            raise OnnxqError(f"skip must be a list of names or patterns, not {self.skip!r}")

    def _check_combinations(self) -> None:
        if self.bit_alloc not in ("none", self._possible_allocation) and self._possible_allocation != "both":
            raise OnnxqError(
                "bits per channel go with per-channel uniform grids: of this recipe "
                f"--bit-alloc can be {self._possible_allocation}"
            )
        if self.scheme == "mid-tread" and (self.weights != "uniform" or self.weight_granularity != "per-channel"):
            raise OnnxqError("mid-tread weights have a uniform grid for each channel; ask for no other")
        if self.format == "qdq":
            if self.bit_alloc != "none" or self.weight_correction != "none":
                raise OnnxqError(
                    "standard QuantizeLinear holds neither bits per channel nor corrected weights: "
                    "with --format qdq leave out --bit-alloc and --weight-correction"
                )
            if self.weights != "uniform" or self.scheme == "mid-tread" or self.ranges == "dynamic":
                raise OnnxqError("--format qdq takes uniform weights and static uniform ranges only")
        if self.weights == "kmeans" and self.weight_bits % 1:
            raise OnnxqError("k-means weights have 2^bits levels: weight bits must be a whole number")
        if self.ranges == "dynamic" and self.scheme not in DYNAMIC_SCHEMES:
            raise OnnxqError(f"dynamic ranges go with the schemes {', '.join(DYNAMIC_SCHEMES)}")
        if self.bias_correction == "images" and self.placement == "outputs":
            raise OnnxqError("--bias-correction images goes with quantizers at inputs")
        if self.bias_correction == "statistics" and not self._knows_its_inputs:
            raise OnnxqError(
                "biases are corrected from the statistics of static uniform quantizers at inputs; otherwise take "
                "--bias-correction images or none"
            )

    @property
    def _knows_its_inputs(self) -> bool:
        """Whether statistics tell what the quantizer of a layer's input does to its mean."""
        return self.placement == "inputs" and self.ranges == "static" and self.scheme != "mid-tread"

    @property
    def _possible_allocation(self) -> BitAllocation:
        """What can have bits per channel (a mid-tread grid has bins)."""
        if self.format == "qdq" or self.scheme == "mid-tread":
            return "none"
        activations = self.act_granularity == "per-channel"
        weights = self.weight_granularity == "per-channel" and self.weights == "uniform"
        if activations and weights:
            return "both"
        return "activations" if activations else "weights" if weights else "none"

    @property
    def needs_images(self) -> bool:
        """Whether something is measured on images while quantizing."""
        return self.bias_correction == "images"

    @property
    def allocates_activations(self) -> bool:
        """Whether each channel of an activation has bits of its own."""
        return self.bit_alloc in ("activations", "both")

    @property
    def allocates_weights(self) -> bool:
        """Whether each output channel of a weight has bits of its own."""
        return self.bit_alloc in ("weights", "both")

    def to_json(self) -> str:
        """As one line of JSON, for a file's metadata."""
        return json.dumps(dataclasses.asdict(self))
