"""What weights get, and what activations get. Parts of a recipe, resolved by ``Recipe`` and read by ``decide``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from onnxq.allocation import ALLOCATIONS, Allocation
from onnxq.clipping import CLIPPINGS, Clipping
from onnxq.core.checks import boolean, number, one_of
from onnxq.core.coerce import coerce
from onnxq.core.granularity import Granularity
from onnxq.core.target import Target
from onnxq.formats import FORMATS, Format
from onnxq.recipe.corrections import CORRECTIONS, Correction

IMAGES, BATCHES = "images", "batches"  # what extremes and moments of activations are of
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

    def __post_init__(self) -> None:
        readers = {"format": FORMATS.parse, "granularity": Granularity.parse, "allocation": ALLOCATIONS.parse}
        coerce(self, {**readers, "correction": CORRECTIONS.parse})

    def resolved(self, target: Target) -> Weights:
        """The same without None."""
        chosen = (self.format or FORMATS.parse("affine")).on(target, weights=True)
        granularity = self.granularity or Granularity.PER_CHANNEL
        widths = _can_have_widths(chosen, granularity, target)
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
        found = self.problems_with(self.format, self.bits, self.allocation, target)
        if self.correction.moves and not (target.corrected_weights and self.format.holds_correction):
            found.append(
                "`weights.correction` must be none: the target or the format keeps weights on their grid (fixed point, "
                "and standard QuantizeLinear)"
            )
        return found

    def problems_with(self, form: Format, bits: float, allocation: Allocation, target: Target) -> list[str]:
        """The same for a weight of this format and these bits."""
        found = _common_problems("weights", form, bits, self.granularity, allocation, target)
        if not form.of_weights:
            found.append(f"`weights.format`: {FORMATS.name_of(form)} is a format of activations only")
        if form.any_bits and self.granularity is not Granularity.PER_CHANNEL:
            found.append("`weights.granularity` must be per-channel with mid-tread weights")
        return found


@dataclass(frozen=True)
class Activations:
    """What activations get. None stands for what the target and the format want.

    Attributes:
        format: their number format (None: affine).
        bits: as of ``Weights``.
        clipping: how ranges are chosen (None: aciq; mse where weights are rounded by what images show, and for formats
            that search: the smallest expected error).
        granularity: parameters for each channel, or for the tensor.
        allocation: as of ``Weights`` (None: by error).
        dynamic: ranges are those of the current batch.
        over: extremes and moments are those of all calibration images together ('images'), or means over what each
            batch shows ('batches', as the published ACIQ system has them; ``calibrate(batch_averages=True)``).
    """

    format: Format | None = None
    bits: float = 4
    clipping: Clipping | None = None
    granularity: Granularity | None = None
    allocation: Allocation | None = None
    dynamic: bool = False
    over: str = IMAGES

    def __post_init__(self) -> None:
        readers = {"format": FORMATS.parse, "granularity": Granularity.parse, "allocation": ALLOCATIONS.parse}
        coerce(self, {**readers, "clipping": CLIPPINGS.parse})

    def resolved(self, target: Target, by_images: bool = False) -> Activations:
        """The same without None.

        Args:
            by_images: weights are rounded by what images show, and make up for what follows from a choice of ranges but
                for its squared error: ranges of the smallest one do best then.
        """
        chosen = (self.format or FORMATS.parse("affine")).on(target, weights=False)
        granularity = self.granularity or target.act_granularity
        widths = _can_have_widths(chosen, granularity, target)
        return replace(
            self,
            format=chosen,
            clipping=self.clipping or CLIPPINGS.parse("mse" if by_images and chosen.takes_rule else chosen.rule),
            granularity=granularity,
            allocation=self.allocation or ALLOCATIONS.parse("by-error" if widths else "none"),
        )

    def problems(self, target: Target) -> list[str]:
        """What does not go together in resolved ones, a sentence each."""
        assert self.format is not None and self.allocation is not None and self.clipping is not None
        found = self.problems_with(self.format, self.bits, self.allocation, target)
        found += [*self.clipping.problems(), *boolean("activations.dynamic", self.dynamic)]
        found += one_of("activations.over", self.over, (IMAGES, BATCHES))
        if self.dynamic and self.over == BATCHES:
            found.append("dynamic ranges are those of one batch: `activations.over` must be images")
        if target.only_per_tensor and self.granularity is not Granularity.PER_TENSOR:
            found.append("the target wants per-tensor activations: `activations.granularity`")
        return found

    def problems_with(self, form: Format, bits: float, allocation: Allocation, target: Target) -> list[str]:
        """The same for an activation of this format and these bits."""
        assert self.clipping is not None
        found = _common_problems("activations", form, bits, self.granularity, allocation, target)
        rule = CLIPPINGS.name_of(self.clipping)
        if not form.of_activations:
            found.append(f"`activations.format`: {FORMATS.name_of(form)} is a format of weights only")
        if form.by_threshold and not self.clipping.symmetric:
            found.append(f"symmetric ranges do not go with the clipping rule {rule}")
        if form.takes_rule and self.clipping.only_symmetric and not form.by_threshold:
            found.append(f"the clipping rule {rule} is one of symmetric ranges: take `symmetric`")
        if self.dynamic and not (form.can_be_dynamic and self.clipping.dynamic and target.dynamic_ranges):
            rules = ", ".join(name for name in CLIPPINGS.names() if CLIPPINGS.parse(name).dynamic)
            found.append(f"dynamic ranges go with affine activations, onnxq's operators and the clipping rules {rules}")
        return found

    @property
    def tells_mean(self) -> bool:
        """Whether statistics tell what quantization does to the mean of a tensor."""
        return not self.dynamic and (self.format is None or self.format.tells_mean)


def _can_have_widths(form: Format, granularity: Granularity | None, target: Target) -> bool:
    """Whether channels can have bits of their own."""
    return target.bits_per_channel and form.has_widths and granularity is Granularity.PER_CHANNEL


def _common_problems(
    part: str, form: Format, bits: float, granularity: Granularity | None, allocation: Allocation, target: Target
) -> list[str]:
    found = [*form.problems(), *allocation.problems(), *number(f"{part}.bits", bits, LEAST_BITS, form.most_bits)]
    if allocation.gives_widths and not _can_have_widths(form, granularity, target):
        found.append(f"`{part}.allocation`: bits per channel go with per-channel affine formats and onnxq's operators")
    if not found and bits % 1 and not allocation.gives_widths and not form.any_bits:
        found.append(f"`{part}.bits` can be a fraction only where channels have bits of their own")
    allowed = target.weight_bits if part == "weights" else target.act_bits
    if not found and allowed is not None and (math.ceil(bits) if allocation.gives_widths else bits) not in allowed:
        found.append(f"`{part}.bits` must be {', '.join(map(str, allowed))} for this target, not {bits:g}")
    if target.formats and FORMATS.name_of(form) not in target.formats:
        found.append(f"`{part}.format`: the target holds {', '.join(target.formats)}, not {FORMATS.name_of(form)}")
    return found
