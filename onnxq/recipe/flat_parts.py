"""Put options of flat names into the parts of a recipe. A part of ``recipe``, called by ``flat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from onnxq.allocation import ALLOCATIONS
from onnxq.clipping import CLIPPINGS
from onnxq.clipping.percentile import KEEP, MovingPercentile, Percentile
from onnxq.clipping.spread import Std
from onnxq.core.granularity import Granularity
from onnxq.errors import OnnxqError
from onnxq.formats import FORMATS, Format
from onnxq.formats.affine import Affine
from onnxq.formats.fixed_point import FixedPoint
from onnxq.formats.powers_of_two import AdditivePowersOfTwo
from onnxq.formats.symmetric import Symmetric
from onnxq.recipe.corrections import CORRECTIONS
from onnxq.recipe.override import DECODING, FIRST_AND_LAST, Override
from onnxq.recipe.parts import Activations, Weights
from onnxq.recipe.points import POINTS
from onnxq.recipe.recipe import Recipe
from onnxq.recipe.rounding import ROUNDINGS
from onnxq.recipe.steps import CORRECT_BIASES, RECONSTRUCT, STEPS, Default, Step, behind_budget
from onnxq.recipe.targets import TARGETS

CORRECTED = {
    "none": None,
    "statistics": CORRECT_BIASES,
    "images": "correct-biases-on-images",
    "outputs": "correct-outputs",
}
FIXED_POINT = ("rounding", "overflow", "overflow_rate", "bit_true")
INTEGER = "integer"
LIMITS = ("size", "size_ratio", "bops_ratio")  # of which a budget is one
KNOWN = "sensitivity"
ALPHA = (
    "`alpha` must map names of layers to thresholds, positive numbers, like "
    '{"layer1.*": {"weight": 3.0, "activation": 6.0}}'
)


class Parts:
    """The parts of a recipe while options are put into them; each method puts in what belongs together."""

    def __init__(self, recipe: Recipe, given: Mapping[str, Any]) -> None:
        self.recipe, self.given = recipe, given
        self.weights: Weights = recipe.weights
        self.activations: Activations | None = recipe.activations

    def replaced(self) -> dict[str, Any]:
        """The fields of the recipe that change."""
        self._bits()
        self._formats()
        self._fixed_point()
        self._channels()
        return {
            "weights": self.weights,
            "activations": self.activations,
            "overrides": self._overrides(),
            **self._file(),
            **self._steps(),
            **self._rounding(),
        }

    def _on_activations(self, **changes: Any) -> None:
        if self.activations is not None:
            self.activations = replace(self.activations, **changes)

    def _bits(self) -> None:
        if "act_bits" in self.given:
            bits = self.given["act_bits"]
            self.activations = None if bits is None else replace(self.activations or Activations(), bits=bits)
        if "weight_bits" in self.given:
            self.weights = replace(self.weights, bits=self.given["weight_bits"])

    def _formats(self) -> None:
        scheme, grid = self.given.get("scheme"), self.given.get("weights")
        if grid is not None:
            self.weights = replace(self.weights, format=None if grid == "uniform" else FORMATS.parse(grid))
        name = next(iter(scheme)) if isinstance(scheme, Mapping) else scheme
        if name in CLIPPINGS.names():
            self._on_activations(clipping=CLIPPINGS.parse(scheme), format=None)
        elif scheme is not None:
            form = Symmetric() if scheme == "histogram" else FORMATS.parse(scheme)
            self._on_activations(format=form, clipping=None)
            if grid is None or (grid == "uniform" and isinstance(form, Symmetric)):
                self.weights = replace(self.weights, format=form)
        self._clipping()
        self._symmetric(grid)

    def _clipping(self) -> None:
        """Parameters of the clipping rule."""
        rule = self.activations and self.activations.clipping
        multiplier, share = self.given.get("std_multiplier"), self.given.get("percentile")
        if isinstance(rule, Std) and multiplier is not None:
            rule = replace(rule, k=multiplier)
        elif multiplier not in (None, Std().k):
            raise OnnxqError("`std_multiplier` goes with scheme std")
        if isinstance(rule, (Percentile, MovingPercentile)) and share is not None:
            rule = replace(rule, keep=share)
        elif share not in (None, KEEP):
            raise OnnxqError("`percentile` goes with schemes percentile and moving-percentile")
        if self.given.get("moving_average"):
            if not isinstance(rule, Percentile) or self.given.get("symmetric") is False:
                raise OnnxqError("`moving_average` is one of symmetric ranges of scheme percentile")
            rule = MovingPercentile(rule.keep)
        if rule is not None:
            self._on_activations(clipping=rule)

    def _symmetric(self, grid: str | None) -> None:
        asked = self.given.get("symmetric", True if self.given.get("moving_average") else None)
        if asked is True:
            self._on_activations(format=Symmetric())
            if self.weights.format is None or isinstance(self.weights.format, (Affine, Symmetric)):
                self.weights = replace(self.weights, format=Symmetric())
        elif asked is False and self.activations is not None and isinstance(self.activations.format, Symmetric):
            self._on_activations(format=Affine(), clipping=self.activations.clipping or CLIPPINGS.parse("mse"))
            if isinstance(self.weights.format, Symmetric):
                self.weights = replace(self.weights, format=None)

    def _fixed_point(self) -> None:
        defaults = {field.name: field.default for field in fields(FixedPoint)}
        asked = {
            name: self.given[name]
            for name in FIXED_POINT
            if name in self.given and not (name == "rounding" and self.given[name] in ROUNDINGS.names())
        }
        if not asked:
            return
        forms = [self.weights.format, self.activations and self.activations.format]
        if not any(isinstance(form, FixedPoint) for form in forms):
            for name, value in asked.items():
                if value != defaults[name]:
                    raise OnnxqError(f"`{name}` goes with scheme fixed-point")
            return
        if isinstance(self.weights.format, FixedPoint):
            self.weights = replace(self.weights, format=replace(self.weights.format, **asked))
        if self.activations is not None and isinstance(self.activations.format, FixedPoint):
            self._on_activations(format=replace(self.activations.format, **asked))

    def _channels(self) -> None:
        if "act_granularity" in self.given:
            self._on_activations(granularity=Granularity(self.given["act_granularity"]))
        if "weight_granularity" in self.given:
            self.weights = replace(self.weights, granularity=Granularity(self.given["weight_granularity"]))
        if (asked := self.given.get("bit_alloc")) is not None:
            of_weights, of_activations = asked in ("weights", "both"), asked in ("activations", "both")
            self.weights = replace(self.weights, allocation=ALLOCATIONS.parse("by-spread" if of_weights else "none"))
            if of_activations and self.activations is None:
                raise OnnxqError("`bit_alloc`: without activations there is only weights, or none")
            self._on_activations(allocation=ALLOCATIONS.parse("by-error" if of_activations else "none"))
        if "weight_correction" in self.given:
            self.weights = replace(self.weights, correction=CORRECTIONS.parse(self.given["weight_correction"]))
        if "ranges" in self.given:
            dynamic = self.given["ranges"] == "dynamic"
            if dynamic and self.activations is None:
                raise OnnxqError("`ranges`: without activations there are none")
            self._on_activations(dynamic=dynamic)

    def _overrides(self) -> tuple[Override, ...]:
        """Those there are, with what is asked for put in: thresholds before them all, what is skipped behind."""
        kept = list(self.recipe.overrides)
        thresholds = self._thresholds()
        ends = [entry for entry in kept if entry.layers == FIRST_AND_LAST]
        if (bits := self.given.get("edge_bits")) is not None:
            asked = Override(FIRST_AND_LAST, weight_bits=bits, act_bits=bits)
            kept = [entry.merged(asked) if entry is ends[-1] else entry for entry in kept] if ends else [asked, *kept]
        elif thresholds and not ends:
            kept = [Override(FIRST_AND_LAST), *kept]  # thresholds are not for the ends
        skipped = self.given.get("skip", ())
        patterns = [skipped] if isinstance(skipped, str) else skipped
        if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
            raise OnnxqError(f"`skip` must be a list of names or patterns, not {skipped!r}")
        decoding = [] if self.given.get("guard", True) else [Override(DECODING)]
        return (*thresholds, *kept, *(Override(pattern, skip=True) for pattern in patterns), *decoding)

    def _thresholds(self) -> list[Override]:
        """``alpha``: layer name or pattern -> {"weight": in standard deviations, "activation": in its units}."""
        alpha = self.given.get("alpha")
        if alpha is None or alpha == {}:
            return []
        if not isinstance(alpha, Mapping) or not all(isinstance(name, str) for name in alpha):
            raise OnnxqError(ALPHA)
        forms = {"weight": self.weights.format, "activation": self.activations and self.activations.format}
        if not any(isinstance(form, AdditivePowersOfTwo) for form in forms.values()):
            raise OnnxqError("thresholds from `alpha` go with apot, pot and even")
        found = []
        for pattern, entry in reversed(list(alpha.items())):  # the first pattern wins; of overrides, the last
            if not isinstance(entry, Mapping) or not set(entry) <= set(forms):
                raise OnnxqError(ALPHA)
            own: dict[str, Format] = {}
            for kind, form in forms.items():
                if kind in entry and isinstance(form, AdditivePowersOfTwo):
                    own[kind] = replace(form, threshold=entry[kind])
                    if own[kind].problems():
                        raise OnnxqError(ALPHA)
            found.append(Override(pattern, weight_format=own.get("weight"), act_format=own.get("activation")))
        return found

    def _file(self) -> dict[str, Any]:
        """``placement``, ``format`` and ``target``: what the file is made of."""
        placement, form, target = (self.given.get(name) for name in ("placement", "format", "target"))
        changes: dict[str, Any] = {}
        if placement is not None:
            changes["points"] = POINTS.parse(placement)
        if form == "onnxq" and (target == "tensorrt" or placement == INTEGER):
            raise OnnxqError(
                f"`{'target' if target == 'tensorrt' else 'placement'}` "
                f"{target if target == 'tensorrt' else placement} goes with `format` qdq"
            )
        told = "onnxruntime" if placement == INTEGER else form
        if target in (None, "onnxruntime") and told is not None:
            target = told  # as of old: onnxruntime was the name of whatever target format and placement tell
        if (form, self.given.get("target"), placement) == ("qdq", None, None) and self._is_all_eight():
            target = "onnxruntime"  # what 8 bits in standard operators are wanted for
        if target is not None:
            changes["target"] = TARGETS.parse(target)
        return changes

    def _is_all_eight(self) -> bool:
        """Whether integer kernels could compute with it."""
        asked = self.activations
        widths = {self.weights.bits, asked.bits if asked is not None else None, self.given.get("edge_bits", 8)}
        return widths == {8} and asked is not None and asked.granularity is None and not asked.dynamic

    def _steps(self) -> dict[str, Any]:
        asked, match = self.given.get("bias_correction"), self.given.get("renormalize")
        learnt, seconds = self.given.get("reconstruct"), self.given.get("budget_seconds")
        limits = {name: self.given[name] for name in (*LIMITS, KNOWN) if name in self.given}
        if asked is None and not match and not learnt and not limits:
            return {}
        steps: list[Step] = list(self.recipe.steps) if self.recipe.steps is not None else [Default()]
        if asked is not None:
            name = CORRECTED[asked]
            replaced = (*filter(None, CORRECTED.values()), "default")
            kept = [step for step in steps if STEPS.name_of(step) not in replaced]
            steps = [*([STEPS.parse(name)] if name is not None else []), *kept]
        if match:
            steps.append(STEPS.parse("match-outputs"))
        if learnt:
            steps.append(STEPS.parse({RECONSTRUCT: {} if seconds is None else {"seconds": seconds}}))
        if limits:
            steps = list(behind_budget(limits, tuple(steps)))
        return {"steps": tuple(steps)}

    def _rounding(self) -> dict[str, Any]:
        asked = self.given.get("rounding")
        return {"rounding": ROUNDINGS.parse(asked)} if asked in ROUNDINGS.names() else {}
