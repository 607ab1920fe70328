"""What weights get, and what activations get. Parts of a recipe, resolved by ``Recipe`` and read by ``decide``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnxq.allocation import ALLOCATIONS, Allocation
from onnxq.clipping import CLIPPINGS, Clipping
from onnxq.core.checks import boolean, number
from onnxq.core.granularity import Granularity
from onnxq.core.target import Target
from onnxq.formats import FORMATS, Format
from onnxq.recipe.corrections import CORRECTIONS, Correction

LEAST_BITS = 2


@dataclass(frozen=True)
class Weights:
    """What the weights of layers get. None stands for what the target and the format want.

    Attributes:
        format: their number format (None: affine).
        bits: 2 to 8, in fixed point to 16; a fraction where bits are allocated, and with mid-tread (log2 of the bins).
        granularity: parameters for each output channel (None), or for the tensor.
        allocation: which output channels get how many bits, ``bits`` being their mean. None: by spread, where the
            format and the target have bits for each channel.
        correction: what is restored in each channel. None: its mean, where the format and the target can hold it.
    """

    format: Format | None = None
    bits: float = 4
    granularity: Granularity | None = None
    allocation: Allocation | None = None
    correction: Correction | None = None

    def resolved(self, target: Target) -> Weights:
        """The same without None."""
        chosen = (self.format or FORMATS.parse("affine")).on(target, weights=True)
        granularity = self.granularity or Granularity.PER_CHANNEL
        widths = target.bits_per_channel and chosen.has_widths and granularity is Granularity.PER_CHANNEL
        holds = target.corrected_weights and chosen.holds_correction
        return replace(
            self,
            format=chosen,
            granularity=granularity,
            allocation=self.allocation or ALLOCATIONS.parse("by-spread" if widths else "none"),
            correction=self.correction or CORRECTIONS.parse("mean" if holds else "none"),
        )

    def problems(self, target: Target) -> list[str]:
        """What does not go together in resolved ones, a sentence each."""
        assert self.format is not None and self.allocation is not None and self.correction is not None
        found = _common_problems("weights", self.format, self.bits, self.granularity, self.allocation, target)
        if not self.format.of_weights:
            found.append(f"`weights.format`: {FORMATS.name_of(self.format)} is a format of activations only")
        if self.correction.moves and not (target.corrected_weights and self.format.holds_correction):
            found.append(
                "`weights.correction` must be none: the target or the format keeps weights on their grid (fixed point, "
                "and standard QuantizeLinear)"
            )
        if self.format.any_bits and self.granularity is not Granularity.PER_CHANNEL:
            found.append("`weights.granularity` must be per-channel with mid-tread weights")
        return found


@dataclass(frozen=True)
class Activations:
    """What activations get. None stands for what the target and the format want.

    Attributes:
        format: their number format (None: affine).
        bits: as of ``Weights``.
        clipping: how ranges are chosen (None: aciq; for formats that search, the smallest expected error).
        granularity: parameters for each channel, or for the tensor.
        allocation: as of ``Weights`` (None: by error).
        dynamic: ranges are those of the current batch.
    """

    format: Format | None = None
    bits: float = 4
    clipping: Clipping | None = None
    granularity: Granularity | None = None
    allocation: Allocation | None = None
    dynamic: bool = False

    def resolved(self, target: Target) -> Activations:
        """The same without None."""
        chosen = (self.format or FORMATS.parse("affine")).on(target, weights=False)
        granularity = self.granularity or target.act_granularity
        widths = target.bits_per_channel and chosen.has_widths and granularity is Granularity.PER_CHANNEL
        return replace(
            self,
            format=chosen,
            clipping=self.clipping or CLIPPINGS.parse(chosen.rule),
            granularity=granularity,
            allocation=self.allocation or ALLOCATIONS.parse("by-error" if widths else "none"),
        )

    def problems(self, target: Target) -> list[str]:
        """What does not go together in resolved ones, a sentence each."""
        assert self.format is not None and self.allocation is not None and self.clipping is not None
        found = _common_problems("activations", self.format, self.bits, self.granularity, self.allocation, target)
        found += [*self.clipping.problems(), *boolean("activations.dynamic", self.dynamic)]
        name = CLIPPINGS.name_of(self.clipping)
        if not self.format.of_activations:
            found.append(f"`activations.format`: {FORMATS.name_of(self.format)} is a format of weights only")
        symmetric = FORMATS.name_of(self.format) == "symmetric"
        if symmetric and not self.clipping.symmetric:
            found.append(f"symmetric ranges do not go with the clipping rule {name}")
        if self.clipping.only_symmetric and not symmetric:
            found.append(f"the clipping rule {name} is one of symmetric ranges: take `activations.format` symmetric")
        if self.dynamic and not (self.format.can_be_dynamic and self.clipping.dynamic and target.dynamic_ranges):
            rules = ", ".join(rule for rule in CLIPPINGS.names() if CLIPPINGS.parse(rule).dynamic)
            found.append(f"dynamic ranges go with affine activations, onnxq's operators and the clipping rules {rules}")
        if target.only_per_tensor and self.granularity is not Granularity.PER_TENSOR:
            found.append("the target wants per-tensor activations: `activations.granularity`")
        return found

    @property
    def tell_mean(self) -> bool:
        """Whether statistics tell what quantization does to the mean of a tensor."""
        return not self.dynamic and (self.format is None or self.format.tells_mean)


def _common_problems(
    part: str, form: Format, bits: float, granularity: Granularity | None, allocation: Allocation, target: Target
) -> list[str]:
    found = [*form.problems(), *number(f"{part}.bits", bits, LEAST_BITS, form.most_bits)]
    possible = target.bits_per_channel and form.has_widths and granularity is Granularity.PER_CHANNEL
    if allocation.gives_widths and not possible:
        found.append(f"`{part}.allocation`: bits per channel go with per-channel affine formats and onnxq's operators")
    if not found and bits % 1 and not allocation.gives_widths and not form.any_bits:
        found.append(f"`{part}.bits` can be a fraction only where channels have bits of their own")
    if not found and target.bits is not None and bits not in target.bits:
        found.append(f"`{part}.bits` must be {', '.join(map(str, target.bits))} for this target, not {bits:g}")
    if target.formats and FORMATS.name_of(form) not in target.formats:
        found.append(f"`{part}.format`: the target holds {', '.join(target.formats)}, not {FORMATS.name_of(form)}")
    return found
