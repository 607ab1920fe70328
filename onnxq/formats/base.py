"""What a number format is to the other stages. A part of ``formats``; recipes name formats, ``decide`` fits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxq.core.observed import Interval, Observed
from onnxq.core.qparams import ActivationParams, StaticParams, WeightParams
from onnxq.core.registry import Registry
from onnxq.core.target import Target

FloatArray = NDArray[np.float64]
BitArray = NDArray[np.int32]
END_BITS = 8  # of the first and the last layer, unless asked otherwise


class RangeRule(Protocol):
    """What formats need of a clipping rule (``onnxq.clipping``)."""

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """[lower, upper] of each channel, float64 [C] each; bits int32 [C], 0 to 8."""

    def threshold(self, observed: Observed) -> FloatArray | None:
        """The largest magnitude to keep, float64 [C]; None where the format is to search for it."""

    def multipliers(self, bits: BitArray, half: bool) -> tuple[FloatArray, FloatArray] | None:
        """(alpha / b, alpha / sigma) for ranges of the current batch; None where there are none by this rule."""


@dataclass(frozen=True)
class Format:
    """A number format as a recipe asks for it, with its own parameters.

    Attributes:
        most_bits: the widest codes.
        has_widths: channels can have bits of their own.
        any_bits: bits can be fractions all the same.
        of_activations, of_weights: what it can be the format of.
        by_threshold: its range is symmetric: of a rule it takes the threshold.
        takes_rule: its range follows from a clipping rule; other formats have their own.
        rule: the rule where none is asked for, by name.
        can_be_dynamic: ranges of the current batch can be computed.
        holds_correction: weights can be moved off its grid.
        holds_scale: the scale of weights can be any number.
        uses_all_codes: each code of a channel's width is one that a weight can have.
        rounds_parameters: biases and parameters of batch norm are put into it too.
    """

    most_bits: ClassVar[int] = 8
    has_widths: ClassVar[bool] = False
    any_bits: ClassVar[bool] = False
    of_activations: ClassVar[bool] = True
    of_weights: ClassVar[bool] = True
    by_threshold: ClassVar[bool] = False
    takes_rule: ClassVar[bool] = True
    rule: ClassVar[str] = "aciq"
    can_be_dynamic: ClassVar[bool] = False
    holds_correction: ClassVar[bool] = True
    holds_scale: ClassVar[bool] = True
    uses_all_codes: ClassVar[bool] = True
    rounds_parameters: ClassVar[bool] = False

    @property
    def tells_mean(self) -> bool:
        """Whether statistics tell what it does to the mean of a tensor."""
        return True

    def problems(self) -> list[str]:
        """What is wrong with its parameters, a sentence each."""
        return []

    def at_ends(self, bits: int | None, own: float) -> tuple[Format, float]:
        """The format and the bits of the first and the last layer.

        Args:
            bits: those asked for, if any. own: those of the other layers.
        """
        return self, END_BITS if bits is None else bits

    def on(self, target: Target, *, weights: bool) -> Format:
        """The same format in the form that a target can hold, for weights or for activations."""
        return self

    def published(self) -> Format:
        """The format with the published systems' arithmetic, where that differs."""
        return self

    def fit_activation(self, observed: Observed, bits: Any, rule: RangeRule) -> StaticParams:
        """Parameters of an activation.

        Args:
            bits: int32 [C] or [1] where ``has_widths``, else a number.
            rule: how ranges are chosen, where ``takes_rule``.
        """
        raise NotImplementedError(f"{type(self).__name__} is no format of activations")

    def fit_weight(self, rows: NDArray[np.float32], bits: Any) -> WeightParams:
        """Parameters of a weight, one set for each row.

        Args:
            rows: float32 [C, n], or [1, n] for the whole weight. bits: as above.
        """
        raise NotImplementedError(f"{type(self).__name__} is no format of weights")

    def parameter_bits(self, bits: float) -> float:
        """Those of the parameters of batch norm, where weights have ``bits``; 32 leave them in float."""
        return bits

    def round_parameter(self, values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
        """A bias, or a parameter of batch norm, float32 [C], in this format, where ``rounds_parameters``."""
        raise NotImplementedError(f"{type(self).__name__} leaves parameters in float")


FORMATS: Registry[Format] = Registry("number format", "onnxq.formats")
__all__ = ["END_BITS", "FORMATS", "ActivationParams", "BitArray", "FloatArray", "Format", "RangeRule"]
