"""What a user asks for. Read by ``decide`` and by the flow; nothing is written back into it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any

from onnxq.core.checks import number
from onnxq.core.coerce import coerce
from onnxq.core.layers import Layer, how_named
from onnxq.core.target import Target
from onnxq.errors import OnnxqError
from onnxq.formats import Format
from onnxq.formats.fixed_point import FixedPoint
from onnxq.recipe import writing
from onnxq.recipe.override import FIRST_AND_LAST, LAST, WORDS, LayerChoice, Override, is_left_out
from onnxq.recipe.parts import Activations, Weights
from onnxq.recipe.points import POINTS, Points
from onnxq.recipe.rounding import ROUNDINGS, Rounding
from onnxq.recipe.steps import CORRECT_BIASES, ERROR_FEEDBACK, STEPS, Step, does, expanded
from onnxq.recipe.targets import TARGETS


@dataclass(frozen=True)
class Recipe:
    """How to quantize. What is None is chosen late, by the target, the format and the statistics (``resolved``).

    Attributes:
        weights: what weights get.
        activations: what activations get; None leaves them in float.
        points: where quantizers sit (None: where the statistics were taken, as far as the target can have them there).
        target: who is to run the file (None: onnxq's operators).
        rounding: how weights become codes (None: by error feedback where there are images, else to the nearest).
        steps: refinements, in order (None: what the rounding asks for, or biases corrected by statistics).
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
        readers = {"points": POINTS.parse, "target": TARGETS.parse, "rounding": ROUNDINGS.parse}
        sequences = {"steps": lambda steps: tuple(map(STEPS.parse, steps)), "overrides": tuple, "metrics": tuple}
        coerce(self, {**readers, **sequences})
        if problems := self.problems():
            raise OnnxqError("; ".join(dict.fromkeys(problems)))

    @staticmethod
    def of(scheme: str | None = None, **options: Any) -> Recipe:
        """A recipe from names, flat or not: ``Recipe.of("aciq-laplace", act_bits=4)``, as ``from_dict`` reads them.

        Raises:
            OnnxqError: there is no such name, or values do not go together.
        """
        return Recipe.from_dict({"scheme": scheme, **options} if scheme is not None else options)

    def resolved(self, observed: str | None = None, *, has_images: bool = False) -> Recipe:
        """The same without None, but for ``steps``.

        Args:
            observed: name of the points that statistics were taken at, if there are any.
            has_images: there are images, to round weights on.

        Raises:
            OnnxqError: the recipe, or its target, has quantizers elsewhere.
        """
        target = self.resolved_target
        points = self._points(target, observed)
        wanted = POINTS.name_of(points)
        if observed is not None and self.activations is not None and wanted not in _known(observed):
            instead = f", or quantize with `points` {observed}" if observed in target.points else ""
            raise OnnxqError(
                f"the statistics were taken at `points` {observed}, the recipe has quantizers at {wanted}: run "
                f"`onnxq calibrate` again, with the same `points`{instead}"
            )
        return self._filled(target, points, by_images=has_images and does(self.steps, ERROR_FEEDBACK))

    def _points(self, target: Target, observed: str | None) -> Points:
        if self.points is not None:
            return self.points
        known = _known(observed) if observed is not None and self.activations is not None else ()
        return POINTS.parse(next((name for name in known if name in target.points), target.points[0]))

    def _filled(self, target: Target, points: Points, *, by_images: bool = False) -> Recipe:
        """The same without None, and without another look for problems."""
        ends = [entry for entry in self.overrides if entry.layers == FIRST_AND_LAST]
        first = reduce(Override.merged, ends, Override(FIRST_AND_LAST))
        others = [entry for entry in self.overrides if entry.layers != FIRST_AND_LAST]
        before = self.overrides.index(ends[0]) if ends else 0
        small = first.weight_bits is None and not number("bits", self.weights.bits, 0, target.last_weight_bits)
        ends = [first, *([Override(LAST, weight_bits=target.last_weight_bits)] if small else [])]
        names = [STEPS.name_of(step) for step in self.steps or ()]
        rounding = self.rounding or ROUNDINGS.parse("gptq" if by_images and self.exact_products else "nearest")
        filled = {
            "rounding": rounding,
            "weights": self.weights.resolved(target),
            "activations": self.activations
            and self.activations.resolved(target, rounding.step is not None or ERROR_FEEDBACK in names),
            "points": points,
            "target": target,
            "overrides": (*others[:before], *ends, *others[before:]),
        }
        whole = object.__new__(Recipe)
        for entry in fields(self):
            object.__setattr__(whole, entry.name, filled.get(entry.name, getattr(self, entry.name)))
        return whole

    def resolved_steps(self, *, has_statistics: bool = True) -> tuple[Step, ...]:
        """The refinements, in order; by default the correction of biases, where statistics, if there are any, tell
        enough, and what the rounding asks for."""
        tells = self.activations is None or self.activations.tells_mean
        can = self.resolved_points.at_inputs and tells and (has_statistics or self.activations is not None)
        rounds = self.rounding.step if self.rounding is not None else None
        usual = [*([CORRECT_BIASES] if can else []), *([rounds] if rounds is not None else [])]
        return expanded(self.steps, tuple(map(STEPS.parse, usual)))

    @property
    def resolved_points(self) -> Points:
        """Where quantizers sit."""
        return self.points or POINTS.parse((self.target or TARGETS.parse("onnxq")).points[0])

    def problems(self) -> list[str]:
        """All that is wrong, a sentence each, by the objects that know."""
        found = [problem for override in self.overrides for problem in override.problems()]
        target, points = self.resolved_target, self.resolved_points
        whole = self._filled(target, points)
        activations = whole.activations
        found += whole.weights.problems(target)
        found += activations.problems(target) if activations is not None else []
        found += whole._override_problems(target) if not found else []
        name = POINTS.name_of(points)
        if name not in target.points:
            places = " or ".join(target.points)
            found.append(f"`points`: target {TARGETS.name_of(target)} has quantizers at {places}, not at {name}")
        if activations is None and self.points is not None and not points.at_inputs:
            found.append("`points`: without activations there are no quantizers to place")
        if self._is_bit_true and not (self._is_all_fixed_point and name == "every-op"):
            found.append("`bit_true` needs fixed point for weights and activations, and `points` every-op")
        if self.rounding is not None and self.rounding.step is not None and not does(self.steps, self.rounding.step):
            found.append(f"`rounding` {self.rounding.step} is among the `steps`, or they hold `default`")
        for step in self.steps or ():
            found += step.problems(points, activations)
        if not all(isinstance(metric, str) for metric in self.metrics):
            found.append(f"`metrics` must be a list of names, not {list(self.metrics)}")
        return found

    @property
    def _formats(self) -> list[Format | None]:
        of_layers = [form for entry in self.overrides for form in (entry.weight_format, entry.act_format)]
        of_activations = [self.activations.format] if self.activations is not None else [None]
        return [self.weights.format, *of_activations, *filter(None, of_layers)]

    @property
    def _is_bit_true(self) -> bool:
        return any(isinstance(form, FixedPoint) and form.bit_true for form in self._formats)

    @property
    def _is_all_fixed_point(self) -> bool:
        return all(isinstance(form, FixedPoint) and form.bit_true for form in self._formats)

    @property
    def resolved_target(self) -> Target:
        """Who is to run the file."""
        return self.target or TARGETS.parse("onnxq")

    def _override_problems(self, target: Target) -> list[str]:
        """Whether the layers that each override covers could get what it says."""
        found = []
        for override in self.overrides:
            if override.skip:
                continue
            choice = override.on_weights(self._weights, target)
            told = self.weights.problems_with(choice.format, choice.bits, choice.allocation, target)
            if self.activations is not None:
                choice = override.on_activations(self._activations, target)
                told += self.activations.problems_with(choice.format, choice.bits, choice.allocation, target)
            part = "`edge_bits`" if override.layers == FIRST_AND_LAST else f"`overrides` of {override.layers}"
            found += [problem.replace("`weights.bits`", part).replace("`activations.bits`", part) for problem in told]
        return found

    @property
    def _weights(self) -> LayerChoice:
        chosen = self.weights
        assert chosen.format is not None and chosen.allocation is not None
        return LayerChoice(chosen.format, chosen.bits, chosen.allocation, self.resolved_target)

    @property
    def _activations(self) -> LayerChoice:
        chosen = self.activations
        assert chosen is not None and chosen.format is not None and chosen.allocation is not None
        return LayerChoice(chosen.format, chosen.bits, chosen.allocation)

    @property
    def _between_layers(self) -> LayerChoice:
        return self._activations.at_least(self.resolved_target.between_bits)

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
        """What an activation gets that these layers share, likewise; without any what those between layers get."""
        choices = []
        for layer in layers:
            choice = self._activations
            for override in self.overrides:
                choice = override.on_activations(choice, self.resolved_target) if override.covers(layer) else choice
            choices.append(choice)
        return max(choices, key=lambda choice: choice.priority, default=self._between_layers)

    def chosen(self, layers: Sequence[Layer]) -> list[Layer]:
        """The layers that are quantized.

        Raises:
            OnnxqError: there are none, or an override covers none.
        """
        for override in self.overrides:
            if override.layers not in WORDS and not any(override.covers(layer) for layer in layers):
                raise OnnxqError(f"{override.layers}: no layer has such a name; {how_named(layers)}")
        kept = [layer for layer in layers if not is_left_out(layer, self.overrides)]
        if not kept:
            guarded = " (`guard` leaves out those that read a Softmax)" if any(each.decodes for each in layers) else ""
            raise OnnxqError(f"no Conv or Gemm layer with constant weights is left to quantize{guarded}")
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

        if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
            raise OnnxqError("a recipe is a list of fields, each a name and a value")
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
        except (json.JSONDecodeError, RecursionError) as error:
            raise OnnxqError(f"a recipe in JSON: {error}") from error
        return Recipe.from_dict(content)


def _known(observed: str) -> tuple[str, ...]:
    """Names of the points that statistics taken at these are good for."""
    return observed, *POINTS.parse(observed).contain
