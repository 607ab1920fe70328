"""What a user asks for. Read by ``decide`` and by the flow; nothing is written back into it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxq.core.checks import number
from onnxq.core.layers import Layer
from onnxq.core.target import Target
from onnxq.errors import OnnxqError
from onnxq.recipe import writing
from onnxq.recipe.override import FIRST_AND_LAST, LayerChoice, Override
from onnxq.recipe.parts import Activations, Weights
from onnxq.recipe.points import POINTS, Points
from onnxq.recipe.rounding import ROUNDINGS, Rounding
from onnxq.recipe.steps import CORRECT_BIASES, STEPS, Step
from onnxq.recipe.targets import TARGETS


@dataclass(frozen=True)
class Recipe:
    """How to quantize. What is None is chosen late, by the target, the format and the statistics (``resolved``).

    Attributes:
        weights: what weights get.
        activations: what activations get; None leaves them in float.
        points: where quantizers sit (None: where the statistics were taken, as far as the target can have them there).
        target: who is to run the file (None: onnxq's operators).
        rounding: how weights become codes (None: to the nearest).
        steps: refinements, in order (None: biases corrected by the statistics, where these tell enough).
        overrides: layers that get something of their own.
        metrics: names of the metrics that files of this recipe are judged by; empty for those of classification.

    Raises:
        OnnxqError: values are out of their range, or do not go together: all problems at once.
    """

    weights: Weights = field(default_factory=Weights)
    activations: Activations | None = field(default_factory=Activations)
    points: Points | None = None
    target: Target | None = None
    rounding: Rounding | None = None
    steps: tuple[Step, ...] | None = None
    overrides: tuple[Override, ...] = ()
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise OnnxqError("; ".join(dict.fromkeys(problems)))

    @staticmethod
    def of(scheme: str | None = None, **options: Any) -> Recipe:
        """A recipe from names, flat or not: ``Recipe.of("aciq-laplace", act_bits=4)``, as ``from_dict`` reads them.

        Raises:
            OnnxqError: there is no such name, or values do not go together.
        """
        return Recipe.from_dict({"scheme": scheme, **options} if scheme is not None else options)

    def resolved(self, observed: str | None = None) -> Recipe:
        """The same without None, but for ``steps``.

        Args:
            observed: name of the points that statistics were taken at, if there are any.

        Raises:
            OnnxqError: the recipe, or its target, has quantizers elsewhere.
        """
        target = self.resolved_target
        usable = observed if observed in target.points else target.points[0]
        wanted = POINTS.name_of(self.points) if self.points is not None else usable
        if observed not in (None, wanted) and self.activations is not None:
            raise OnnxqError(
                f"the statistics were taken at `points` {observed}, the recipe has quantizers at {wanted}: run "
                f"`onnxq calibrate` again, with the same `points`, or quantize with `points` {observed}"
            )
        implied = [] if any(entry.layers == FIRST_AND_LAST for entry in self.overrides) else [Override(FIRST_AND_LAST)]
        return replace(
            self,
            weights=self.weights.resolved(target),
            activations=self.activations and self.activations.resolved(target),
            points=self.points or POINTS.parse(usable),
            target=target,
            rounding=self.rounding or ROUNDINGS.parse("nearest"),
            overrides=(*implied, *self.overrides),
        )

    def resolved_steps(self, *, has_statistics: bool = True) -> tuple[Step, ...]:
        """The refinements, in order; by default what statistics, if there are any, allow."""
        if self.steps is not None:
            return self.steps
        tells = self.activations is None or self.activations.tell_mean
        needed = self.activations is not None  # then to be asked for, whatever the steps
        can = self.resolved_points.at_inputs and tells and (has_statistics or needed)
        return (STEPS.parse(CORRECT_BIASES),) if can else ()

    @property
    def resolved_points(self) -> Points:
        """Where quantizers sit."""
        return self.points or POINTS.parse((self.target or TARGETS.parse("onnxq")).points[0])

    def problems(self) -> list[str]:
        """All that is wrong, a sentence each, by the objects that know."""
        found = [problem for override in self.overrides for problem in override.problems()]
        whole = self if self._is_resolved else self.resolved()
        target, points, activations = whole.resolved_target, whole.resolved_points, whole.activations
        found += whole.weights.problems(target)
        found += activations.problems(target) if activations is not None else []
        if not found:
            found += whole._override_problems(target)
        name = POINTS.name_of(points)
        if name not in target.points:
            places = " or ".join(target.points)
            found.append(f"`points`: target {TARGETS.name_of(target)} has quantizers at {places}, not at {name}")
        if activations is None and self.points is not None and not points.at_inputs:
            found.append("`points`: without activations there are no quantizers to place")
        if self._is_bit_true and not (whole._all_bit_true and name == "every-op"):
            found.append("`bit_true` needs fixed point for weights and activations, and `points` every-op")
        for step in self.steps or ():
            found += step.problems(points, activations)
        return found

    @property
    def _is_resolved(self) -> bool:
        return self.rounding is not None and self.target is not None and self.points is not None

    @property
    def resolved_target(self) -> Target:
        """Who is to run the file."""
        return self.target or TARGETS.parse("onnxq")

    @property
    def _is_bit_true(self) -> bool:
        forms = (self.weights.format, self.activations and self.activations.format)
        return any(getattr(form, "bit_true", False) for form in forms)

    @property
    def _all_bit_true(self) -> bool:
        forms = (self.weights.format, self.activations and self.activations.format)
        return all(hasattr(form, "bit_true") for form in forms)

    def _override_problems(self, target: Target) -> list[str]:
        """Whether a layer that each override covers by itself, an end among them, could get what it says."""
        found = []
        for override in self.overrides:
            choices = [(override.on_weights(self._weights, target), override.weight_bits)]
            if self.activations is not None:
                choices.append((override.on_activations(self._activations, target), override.act_bits))
            for choice, asked in choices:
                name = "edge_bits" if override.layers == FIRST_AND_LAST else "overrides.bits"
                found += number(name, choice.bits, 2, choice.format.most_bits) if asked is not None else []
                if target.bits is not None and choice.bits not in target.bits and not override.skip:
                    found.append(f"`{name}` must be {', '.join(map(str, target.bits))} for this target")
        return found

    # ---- what each layer gets; of resolved recipes

    @property
    def _weights(self) -> LayerChoice:
        chosen = self.weights
        assert chosen.format is not None and chosen.allocation is not None
        return LayerChoice(chosen.format, chosen.bits, chosen.allocation)

    @property
    def _activations(self) -> LayerChoice:
        chosen = self.activations
        assert chosen is not None and chosen.format is not None and chosen.allocation is not None
        return LayerChoice(chosen.format, chosen.bits, chosen.allocation)

    def weight_choice(self, layers: Sequence[Layer]) -> LayerChoice:
        """What a weight gets that these layers share: the widest that one asks for; without any what all get."""
        choices = []
        for layer in layers:
            choice = self._weights
            for override in self.overrides:
                choice = override.on_weights(choice, self.resolved_target) if override.covers(layer) else choice
            choices.append(choice)
        return max(choices, key=lambda choice: choice.priority, default=self._weights)

    def activation_choice(self, layers: Sequence[Layer]) -> LayerChoice:
        """What an activation gets that these layers share, likewise; without any what all get."""
        choices = []
        for layer in layers:
            choice = self._activations
            for override in self.overrides:
                choice = override.on_activations(choice, self.resolved_target) if override.covers(layer) else choice
            choices.append(choice)
        return max(choices, key=lambda choice: choice.priority, default=self._activations)

    def chosen(self, layers: Sequence[Layer]) -> list[Layer]:
        """The layers that are quantized.

        Raises:
            OnnxqError: there are none, or an override covers none.
        """
        for override in self.overrides:
            if override.layers != FIRST_AND_LAST and not any(override.covers(layer) for layer in layers):
                names = ", ".join(layer.name for layer in layers[:3])
                raise OnnxqError(f"{override.layers}: no layer has such a name; layers are named like {names}")
        skips = [override for override in self.overrides if override.skip]
        kept = [layer for layer in layers if not any(override.covers(layer) for override in skips)]
        if not kept:
            raise OnnxqError("no Conv or Gemm layer with constant weights is left to quantize")
        return kept

    @property
    def narrowest_weights(self) -> float:
        """The smallest width that a weight can have, or its mean."""
        asked = [override.weight_bits for override in self.overrides]
        return min(bits for bits in (self.weights.bits, *asked) if bits is not None)

    @property
    def exact_products(self) -> bool:
        """Whether layers add exact products, as all but bit-true ones do."""
        return not self._is_bit_true

    @property
    def widths(self) -> str:
        """Like W4A8, or W4 for weights only."""
        return f"W{self.weights.bits:g}" + ("" if self.activations is None else f"A{self.activations.bits:g}")

    # ---- as a mapping, and as JSON

    def to_dict(self) -> dict[str, Any]:
        """What was written: fields that differ from their defaults, as ``from_dict`` reads them."""
        return writing.written(self)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Recipe:
        """A recipe from a mapping, like that of a YAML file: composed, or in flat names, or both.

        Raises:
            OnnxqError: there is no such field, or values do not go together.
        """
        from onnxq.recipe.flat import with_options

        composed, flat = writing.split(content)
        return with_options(writing.read(Recipe, composed), flat)

    def to_json(self) -> str:
        """One line of JSON, for a file's metadata."""
        return json.dumps(self.to_dict())

    @staticmethod
    def from_json(text: str) -> Recipe:
        """The inverse of ``to_json``.

        Raises:
            OnnxqError: it is no recipe.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise OnnxqError(f"a recipe in JSON: {error}") from error
        return Recipe.from_dict(content)
