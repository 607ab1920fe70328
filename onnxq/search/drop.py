"""The smallest file that loses at most so much of a metric: a search over the bits of weights. A part of ``search``.

Sensitivities are measured once; each candidate has its bits across layers by them, is quantized in full, and evaluated.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from onnxq.core.feeds import Batches
from onnxq.core.metadata_keys import TRIED
from onnxq.core.statistics import Statistics
from onnxq.flow import Quantized, measure_sensitivity, needed_statistics, passes_of, quantize
from onnxq.graph.model_files import save_model, set_metadata
from onnxq.recipe import Recipe
from onnxq.recipe.steps import behind_budget
from onnxq.search.candidates import Candidate, Kept
from onnxq.search.judge import Judge, Stage, how_many, silent
from onnxq.search.next_bits import chosen, is_probable, next_bits

EVALUATIONS = 8


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        best: None where not even 8 bits lose so little. likely: of it, that it loses so little on other images too.
        tried: all files. statistics: that were given, or taken.
    """

    best: Quantized | None
    likely: bool
    tried: list[Candidate]
    statistics: Statistics | None


def smallest_within(
    most: float,
    judge: Judge,
    statistics: Statistics | None,
    recipe: Recipe,
    images: Batches,
    *,
    evaluations: int = EVALUATIONS,
    sensitivity: str | None = None,
    kept: Kept | None = None,
    provider: str = "auto",
    stage: Stage = silent,
    said: Callable[[Candidate], None] | None = None,
) -> Found:
    """The smallest file found that probably loses at most ``most`` (``onnxq.search.next_bits``).

    Args:
        images: to calibrate and to round on, gone through several times.
        sensitivity: a file of them; measured where there is none. kept: what a search that was stopped has found.
        stage: is told of each pass over images. said: is told of each candidate.

    Raises:
        OnnxqError: as ``onnxq.quantize`` and ``onnxq.evaluate``.
    """
    best: tuple[Candidate, Quantized | None] | None = None  # None where a former run has made it
    tried: list[Candidate] = []
    judged: dict[object, Candidate] = {}  # by widths of all channels
    count = how_many(images)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidate.onnx"
        known = Path(sensitivity) if sensitivity is not None else (kept.sensitivity if kept is not None else None)
        known = known or Path(folder) / "sensitivity.json"
        judge.check()
        with stage("calibrating", count) if statistics is None else nullcontext() as update:
            seen = needed_statistics(judge.path, statistics, recipe, images, provider=provider, progress=update)
        if sensitivity is None and not known.is_file():
            with stage("sensitivities", count) as update:
                measure_sensitivity(judge.path, seen, recipe, images, provider=provider, progress=update).save(known)

        def made(bits: float) -> Quantized:
            asked = replace(recipe, steps=behind_budget({"bits": bits, "sensitivity": str(known)}, recipe.steps))
            passes = passes_of(asked, seen, has_images=True) - 1  # the budget looks at none
            with stage(f"{bits:.2f} bits", passes * count) as update:
                return quantize(judge.path, seen, asked, images=images, provider=provider, progress=update)

        while len(tried) < evaluations and (bits := next_bits(tried, most)) is not None:
            candidate = kept.candidate(bits) if kept is not None else None
            result = None
            if candidate is None:
                result = made(bits)
                widths = tuple((name, *weight.bits.tolist()) for name, weight in sorted(result.plan.weights.items()))
                if widths in judged:  # a target has not all widths
                    candidate = replace(judged[widths], bits=bits)
                else:
                    save_model(result.model, file)
                    candidate = Candidate(bits, file.stat().st_size, *judge.lost(file), result.plan.mean_bits)
                    judged[widths] = candidate
                if kept is not None:
                    kept.keep(candidate)
            tried.append(candidate)
            if said is not None:
                said(candidate)
            if chosen(tried, most) is candidate:
                best = candidate, result
        found = chosen(tried, most)
        model = best[1] if best is not None and best[0] is found else None
        if found is not None and model is None:  # what came later may have brought an earlier one back
            model = made(found.bits)
    if model is not None:
        set_metadata(model.model, {TRIED: json.dumps([asdict(candidate) for candidate in tried])})
    return Found(model, found is not None and is_probable(tried, found, most), tried, seen)
