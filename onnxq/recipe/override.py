"""Layers that get something of their own. A part of a recipe, applied by ``Recipe``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from onnxq.allocation import ALLOCATIONS, Allocation
from onnxq.allocation.base import MAX_BITS
from onnxq.core.checks import boolean, number
from onnxq.core.coerce import coerce
from onnxq.core.layers import Layer
from onnxq.core.target import Target
from onnxq.formats import FORMATS, Format

FIRST_AND_LAST, LAST, DECODING = "first-and-last", "the-last", "decoding"
WORDS = (FIRST_AND_LAST, LAST, DECODING)  # that stand for layers, whatever their names


@dataclass(frozen=True)
class LayerChoice:
    """What the weights, or the input, of one layer get.

    Attributes:
        format: the number format. bits: the width, or its mean. allocation: which channels get how many.
        target: who is to compute with it.
    """

    format: Format
    bits: float
    allocation: Allocation
    target: Target = field(default_factory=Target)

    @property
    def priority(self) -> tuple[float, bool]:
        """Of layers that share a tensor, that of the largest decides: the widest, and of these a fixed width."""
        return self.bits, not self.allocation.gives_widths

    @property
    def most_bits(self) -> int:
        """Of a channel: inexact widths only where they were asked for."""
        exact = self.target.widest_exact_weights
        return exact if self.bits <= exact else MAX_BITS

    def at_least(self, bits: int) -> LayerChoice:
        """The same with so many bits, if it has fewer."""
        return replace(self, bits=max(self.bits, bits))


@dataclass(frozen=True)
class Override:
    """Bits or a format for some layers. A later override wins over an earlier one.

    Attributes:
        layers: a name or a shell pattern, of layers, of what they make or of their weights (``Layer.names``);
            ``first-and-last`` for those that no layer precedes, or none follows, ``the-last`` for these alone;
            ``decoding`` for those that make boxes of a Softmax, which are in float where a recipe has no such override.
            (Where a recipe has none for these, they get 8 bits, or what their format or target wants.)
        weight_bits, act_bits: widths, or their means where channels have bits of their own; None leaves them.
        weight_format, act_format: number formats; None leaves them.
        skip: leave the layers in float.
    """

    layers: str
    weight_bits: float | None = None
    act_bits: float | None = None
    weight_format: Format | None = None
    act_format: Format | None = None
    skip: bool = False

    def __post_init__(self) -> None:
        coerce(self, {"weight_format": FORMATS.parse, "act_format": FORMATS.parse})

    def covers(self, layer: Layer) -> bool:
        """Whether it is for this layer."""
        if self.layers == DECODING:
            return layer.decodes
        if self.layers in (FIRST_AND_LAST, LAST):
            return layer.last if self.layers == LAST else layer.first_or_last
        return layer.is_called(self.layers)

    def problems(self) -> list[str]:
        """What is wrong with it by itself, a sentence each."""
        found = boolean("skip", self.skip)
        if not isinstance(self.layers, str):
            found.append(f"`layers` must be a name or a pattern, not {self.layers!r}")
        name = self.bits_name
        for form, bits in ((self.weight_format, self.weight_bits), (self.act_format, self.act_bits)):
            found += form.problems() if form is not None else []
            found += number(name, bits, 2, 16) if bits is not None else []
        if self.layers == FIRST_AND_LAST and not found:
            whole = not any((bits or 0) % 1 for bits in (self.weight_bits, self.act_bits))
            found += [] if whole else [f"`{name}` must be a whole number"]
        return found

    @property
    def bits_name(self) -> str:
        """What messages call its bits."""
        return "edge_bits" if self.layers == FIRST_AND_LAST else "overrides.bits"

    def merged(self, later: Override) -> Override:
        """Of the same layers: what the later one says, and this one where that says nothing."""
        fields = ("weight_bits", "act_bits", "weight_format", "act_format")
        said = {name: getattr(later, name) for name in fields if getattr(later, name) is not None}
        return replace(self, skip=self.skip or later.skip, **said)

    def on_weights(self, choice: LayerChoice, target: Target) -> LayerChoice:
        """What the weights of a layer get that it covers, instead of ``choice``."""
        return self._applied(choice, self.weight_bits, self.weight_format, target, weights=True)

    def on_activations(self, choice: LayerChoice, target: Target) -> LayerChoice:
        """What the input of such a layer gets."""
        return self._applied(choice, self.act_bits, self.act_format, target, weights=False)

    def _applied(
        self, choice: LayerChoice, bits: float | None, form: Format | None, target: Target, *, weights: bool
    ) -> LayerChoice:
        new, width, allocation = form or choice.format, choice.bits, choice.allocation
        if self.layers == FIRST_AND_LAST:
            new, usual = new.at_ends(None if bits is None else int(bits), width)
            exact = choice.target.widest_exact_weights
            width = min(usual, exact) if bits is None and width <= exact else usual
            allocation = ALLOCATIONS.parse("none")
        elif bits is not None:
            width = bits
        new = new.on(target, weights=weights)
        allocation = allocation if new.has_widths else ALLOCATIONS.parse("none")
        return replace(choice, format=new, bits=width, allocation=allocation)


def is_left_out(layer: Layer, overrides: Sequence[Override]) -> bool:
    """Whether a layer stays in float: an override says so, or it decodes and none is for such layers, or names it."""
    if layer.decodes and not any(override.layers in (DECODING, *layer.names) for override in overrides):
        return True
    return any(override.skip and override.covers(layer) for override in overrides)
