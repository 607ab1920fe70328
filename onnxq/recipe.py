"""What a user asks for: the recipe of a quantization."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from onnxq.errors import OnnxqError

Scheme = Literal[
    "aciq",
    "aciq-laplace",
    "aciq-gauss",
    "minmax",
    "mse",
    "entropy",
    "percentile",
    "histogram",
    "std",
    "mid-tread",
    "apot",
    "pot",
    "fixed-point",
]
Granularity = Literal["per-channel", "per-tensor"]
Format = Literal["onnxq", "qdq"]
Target = Literal["onnxruntime", "tensorrt"]
BitAllocation = Literal["none", "weights", "activations", "both"]
WeightGrid = Literal["uniform", "kmeans", "apot", "pot", "fixed-point"]
WeightCorrection = Literal["none", "mean", "mean-variance"]
BiasCorrection = Literal["none", "statistics", "images"]
Placement = Literal["inputs", "outputs", "all-inputs", "every-op", "integer"]
Ranges = Literal["static", "dynamic"]
Rounding = Literal["half_even", "half_up", "floor"]
Overflow = Literal["saturate", "wrap"]

DYNAMIC_SCHEMES = ("aciq-laplace", "aciq-gauss", "std", "minmax")
POWERS = ("apot", "pot")
EDGE_BITS = 8  # of the first and the last layer, unless asked otherwise
SYMMETRIC_SCHEMES = ("minmax", "mse", "percentile", "histogram")


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
    "rounding": Rounding,
    "overflow": Overflow,
    "target": Target,
}


@dataclass(frozen=True)
class Recipe:
    """How to quantize.

    Attributes:
        scheme: how activation ranges are chosen (``onnxq.activations``). ``mid-tread``, ``apot``, ``pot`` and
            ``fixed-point`` are grids of their own, for weights too.
        act_bits, weight_bits: 2 to 8, in fixed point to 16; fractions where bits are allocated, or with ``mid-tread``
            (log2 of the bins). ``act_bits`` None leaves activations in float: weights only.
        act_granularity, weight_granularity: one grid a channel, or one a tensor. None stands for a grid a channel, but
            for activations of placement ``integer`` and for TensorRT.
        bit_alloc: which channels get bits of their own, ``act_bits`` and ``weight_bits`` being their mean. None stands
            for all that can: those with per-channel uniform grids, in onnxq's own format.
        weights: their grid; ``kmeans`` is a codebook of 2^bits levels. None stands for that of the scheme.
        weight_correction: what is restored in each channel of quantized weights. None stands for ``mean``, and for
            ``none`` where the grid cannot hold it (fixed point, and the format ``qdq``).
        bias_correction: what is added to the biases of layers: nothing, the expected error of their output that
            follows from the statistics of their input, or the error measured on calibration images. None stands for
            ``statistics`` where these are of the inputs and their ranges static, for ``none`` elsewhere.
        renormalize: match mean and variance of each Conv output channel to the float network's, measured on calibration
            images (``onnxq.renormalization``).
        edge_bits: for weights and activations of the first and the last layer, as many as both can have. None stands
            for 8, and in fixed point for those of the other layers. With ``mid-tread`` there is no edge.
        skip: names or shell patterns of layers left in float. With placement ``integer`` their weights and arithmetic
            are; what they read and make is 8 bits wide all the same, for the sake of their neighbours.
        placement: quantizers at the ``inputs`` of layers; at their ``outputs``, as in the published ACIQ system; at
            ``all-inputs``, those of ReLU and pooling included; behind ``every-op``, all arithmetic operators; or
            around everything that has ``integer`` kernels (8 bits, format ``qdq``).
        ranges: ``static``, or ``dynamic``: those of the current batch.
        std_multiplier: k of the scheme ``std``, whose threshold is k standard deviations.
        percentile: share of values kept by the scheme ``percentile``.
        moving_average: take the moving average of this percentile over calibration batches.
        symmetric: narrow symmetric ranges of uniform grids: codes -(2^(bits-1) - 1) .. 2^(bits-1) - 1. None stands for
            what the scheme wants: true for ``histogram`` and with ``moving_average``.
        alpha: thresholds of ``apot`` and ``pot``: layer name or pattern -> {"weight": in standard deviations,
            "activation": in its units}. What it does not name is searched for.
        overflow_rate: share of values that integer bits in fixed point need not hold.
        rounding, overflow: of fixed-point activations.
        bit_true: convolutions round every product and sum (``FixedPointConv``).
        format: ``onnxq`` operators with packed weights, or standard ``qdq``.
        target: whose rules files of the format ``qdq`` keep: ``tensorrt`` wants symmetric INT8 with zero point 0 for
            activations too, and biases in float.
        published: compute what the published systems do where ours is better.

    Raises:
        OnnxqError: a value is out of its range, or two do not go together.
    """

    scheme: Scheme = "aciq"
    act_bits: float | None = 4
    weight_bits: float = 4
    act_granularity: Granularity | None = None
    weight_granularity: Granularity = "per-channel"
    bit_alloc: BitAllocation | None = None
    weights: WeightGrid | None = None
    weight_correction: WeightCorrection | None = None
    bias_correction: BiasCorrection | None = None
    renormalize: bool = False
    edge_bits: int | None = None
    skip: tuple[str, ...] = ()
    placement: Placement = "inputs"
    ranges: Ranges = "static"
    std_multiplier: float = 2.0
    percentile: float = 99.99
    moving_average: bool = False
    symmetric: bool | None = None
    alpha: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    overflow_rate: float = 0.0
    rounding: Rounding = "half_even"
    overflow: Overflow = "saturate"
    bit_true: bool = False
    format: Format = "onnxq"
    target: Target = "onnxruntime"
    published: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        object.__setattr__(self, "skip", (self.skip,) if isinstance(self.skip, str) else tuple(self.skip))
        self._default("weights", self.scheme if self.scheme in (*POWERS, "fixed-point") else "uniform")
        self._default("symmetric", self.scheme == "histogram" or self.moving_average)
        self._default("act_granularity", "per-tensor" if self.has_integer_kernels else "per-channel")
        self._default("bit_alloc", self._possible_allocation)
        holds_correction = self.format != "qdq" and self.weights != "fixed-point"
        self._default("weight_correction", "mean" if holds_correction else "none")
        self._default("bias_correction", "statistics" if self._knows_its_inputs else "none")
        for name, literal in CHOICES.items():
            if (value := getattr(self, name)) not in choices(literal):
                raise OnnxqError(f"{name.replace('_', ' ')}: no {value!r}; use one of {', '.join(choices(literal))}")
        self._check_numbers()
        self._check_combinations()

    def _default(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _check_types(self) -> None:
        for name in ("act_bits", "weight_bits", "edge_bits", "std_multiplier", "percentile", "overflow_rate"):
            value = getattr(self, name)
            if name in ("act_bits", "edge_bits") and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise OnnxqError(f"{name.replace('_', ' ')} must be a number, not {value!r}")
        for name in ("published", "renormalize", "bit_true", "moving_average", "symmetric"):
            value = getattr(self, name)
            if not isinstance(value, bool) and not (name == "symmetric" and value is None):
                raise OnnxqError(f"{name.replace('_', ' ')} must be true or false, not {value!r}")
        patterns = [self.skip] if isinstance(self.skip, str) else self.skip
        if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
            raise OnnxqError(f"skip must be a list of names or patterns, not {self.skip!r}")
        if (
            not isinstance(self.alpha, Mapping)
            or not all(isinstance(name, str) for name in self.alpha)
            or not all(map(_is_threshold, self.alpha.values()))
        ):
            raise OnnxqError(
                "alpha must map names of layers to thresholds, positive numbers, like "
                '{"layer1.*": {"weight": 3.0, "activation": 6.0}}'
            )

    def _check_numbers(self) -> None:
        wide_weights = self.weights == "fixed-point"
        wide_activations = self.scheme == "fixed-point" or self.act_bits is None
        for name, wide in (
            ("act_bits", wide_activations),
            ("weight_bits", wide_weights),
            ("edge_bits", wide_weights and wide_activations),
        ):
            value = getattr(self, name)
            most = 16 if wide else 8
            if value is not None and not 2 <= value <= most:
                raise OnnxqError(f"{name.replace('_', ' ')} must lie between 2 and {most}, not {value}")
        if self.edge_bits is not None and self.edge_bits != int(self.edge_bits):
            raise OnnxqError("edge bits must be a whole number")
        for name, allocated in (("act_bits", self.allocates_activations), ("weight_bits", self.allocates_weights)):
            if (getattr(self, name) or 0) % 1 and not allocated and self.scheme != "mid-tread":
                raise OnnxqError(
                    f"{name.replace('_', ' ')} can be a fraction only where channels have bits of their own"
                )
        if not self.std_multiplier > 0:
            raise OnnxqError("the multiplier of the standard deviation must be positive")
        if not 50 < self.percentile <= 100:
            raise OnnxqError("the percentile must be above 50 and at most 100")
        if not 0 <= self.overflow_rate < 1:
            raise OnnxqError("the overflow rate must be at least 0 and below 1")
        for name, scheme in (("std_multiplier", "std"), ("percentile", "percentile")):
            if getattr(self, name) != _DEFAULTS[name] and self.scheme != scheme:
                raise OnnxqError(f"the {name.replace('_', ' ')} goes with --scheme {scheme}")
        for name in ("rounding", "overflow", "overflow_rate"):
            if getattr(self, name) != _DEFAULTS[name] and "fixed-point" not in (self.scheme, self.weights):
                raise OnnxqError(f"{name.replace('_', ' ')} goes with --scheme fixed-point")

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
            if self.placement in ("all-inputs", "every-op"):
                raise OnnxqError("--format qdq takes the placements inputs, outputs and integer")
            if self.weights != "uniform" or not self.has_uniform_activations or self.ranges == "dynamic":
                raise OnnxqError("--format qdq takes uniform weights and static uniform ranges only")
        all_eight = self.act_bits == self.weight_bits == self.bits_of_weight(True) == 8
        if self.has_integer_kernels and not (
            self.format == "qdq" and all_eight and self.act_granularity == "per-tensor"
        ):
            option = "--target tensorrt" if self.target == "tensorrt" else "--placement integer"
            raise OnnxqError(f"{option} goes with --format qdq, --bits 8 and per-tensor activations")
        if self.target == "tensorrt" and self.placement == "outputs":
            raise OnnxqError("--target tensorrt takes the placements inputs and integer: layers must read 8-bit inputs")
        if self.weights == "kmeans" and self.weight_bits % 1:
            raise OnnxqError("k-means weights have 2^bits levels: weight bits must be a whole number")
        if self.weights == "fixed-point" and self.weight_correction != "none":
            raise OnnxqError("fixed-point weights hold no correction: leave out --weight-correction")
        if self.act_bits is None and (self.ranges == "dynamic" or self.bit_true or self.placement != "inputs"):
            raise OnnxqError("without activation bits there are no ranges, placements or bit-true convolutions")
        if self.ranges == "dynamic" and (self.scheme not in DYNAMIC_SCHEMES or self.symmetric):
            raise OnnxqError(f"dynamic ranges go with the schemes {', '.join(DYNAMIC_SCHEMES)}, asymmetric")
        if self.symmetric and self.scheme not in SYMMETRIC_SCHEMES:
            raise OnnxqError(f"symmetric ranges go with the schemes {', '.join(SYMMETRIC_SCHEMES)}")
        if self.moving_average and (self.scheme != "percentile" or not self.symmetric):
            raise OnnxqError("the moving average is one of symmetric ranges of --scheme percentile")
        if self.bit_true and (
            self.scheme != "fixed-point" or self.weights != "fixed-point" or self.placement != "every-op"
        ):
            raise OnnxqError("--bit-true needs --scheme fixed-point, for weights too, and --placement every-op")
        if self.alpha and not {self.scheme, self.weights} & set(POWERS):
            raise OnnxqError("thresholds from --alpha go with apot and pot")
        if self.bias_correction == "images" and self.placement != "inputs":
            raise OnnxqError("--bias-correction images goes with quantizers at inputs")
        if self.bias_correction == "statistics" and not self._knows_its_inputs:
            raise OnnxqError(
                "biases are corrected from the statistics of static quantizers at inputs; otherwise take "
                "--bias-correction images or none"
            )

    @property
    def has_uniform_activations(self) -> bool:
        """Whether activations have a ``UniformGrid``."""
        return self.scheme not in ("mid-tread", *POWERS, "fixed-point") and not self.symmetric

    @property
    def has_integer_kernels(self) -> bool:
        """Whether the file is to be run by integer kernels, which take weights with the zero point 0 only."""
        return self.placement == "integer" or self.target == "tensorrt"

    @property
    def _knows_its_inputs(self) -> bool:
        """Whether statistics tell what the quantizer of a layer's input does to its mean."""
        return (
            self.placement in ("inputs", "integer")
            and self.ranges == "static"
            and self.scheme != "mid-tread"
            and (self.scheme != "fixed-point" or self.overflow == "saturate")
        )

    @property
    def _possible_allocation(self) -> BitAllocation:
        """What can have bits per channel: uniform grids that are not symmetric."""
        if self.format == "qdq" or self.symmetric or self.scheme == "mid-tread":
            return "none"
        activations = (
            self.act_bits is not None and self.act_granularity == "per-channel" and self.has_uniform_activations
        )
        weights = self.weight_granularity == "per-channel" and self.weights == "uniform"
        if activations and weights:
            return "both"
        return "activations" if activations else "weights" if weights else "none"

    @property
    def needs_images(self) -> bool:
        """Whether something is measured on images while quantizing."""
        return self.image_passes > 0

    @property
    def image_passes(self) -> int:
        """How often images are run through while quantizing."""
        return (self.bias_correction == "images") + 2 * self.renormalize

    @property
    def allocates_activations(self) -> bool:
        """Whether each channel of an activation has bits of its own."""
        return self.bit_alloc in ("activations", "both")

    @property
    def allocates_weights(self) -> bool:
        """Whether each output channel of a weight has bits of its own."""
        return self.bit_alloc in ("weights", "both")

    def bits_of_weight(self, edge: bool) -> float:
        """The (mean) width of a weight."""
        return self._bits(self.weight_bits, edge, self.weights == "fixed-point")

    def bits_of_activation(self, edge: bool) -> float:
        """The (mean) width of an activation."""
        assert self.act_bits is not None
        return self._bits(self.act_bits, edge, self.scheme == "fixed-point")

    @property
    def widths(self) -> str:
        """Like W4A8, or W4 for weights only."""
        return f"W{self.weight_bits:g}" + ("" if self.act_bits is None else f"A{self.act_bits:g}")

    def _bits(self, own: float, edge: bool, fixed_point: bool) -> float:
        if not edge or (self.edge_bits is None and fixed_point):
            return own
        return EDGE_BITS if self.edge_bits is None else self.edge_bits

    def to_json(self) -> str:
        """As one line of JSON, for a file's metadata."""
        return json.dumps(dataclasses.asdict(self))


def _is_threshold(entry: object) -> bool:
    return (
        isinstance(entry, Mapping)
        and set(entry) <= {"weight", "activation"}
        and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and 1e-30 < value < 1e30
            for value in entry.values()
        )
    )


_DEFAULTS = {entry.name: entry.default for entry in dataclasses.fields(Recipe)}
