"""The smallest file that loses at most so much of a metric: bisection over the bits of weights. A part of ``search``.

Sensitivities are measured once; each candidate has its bits across layers by them, is quantized in full, and evaluated.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

from onnxq.core.feeds import Batches
from onnxq.core.metadata_keys import TRIED
from onnxq.core.statistics import Statistics
from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import Evaluation, evaluate
from onnxq.evaluation.metrics import METRICS, Chosen
from onnxq.flow import Quantized, measure_sensitivity, needed_statistics, passes_of, quantize
from onnxq.graph.model_files import save_model, set_metadata
from onnxq.recipe import Recipe
from onnxq.recipe.steps import behind_budget
from onnxq.search.candidates import Candidate, Kept

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None] | None]]  # what, and of how many images
LEAST, MOST = 2.0, 8.0  # bits of a weight
CLOSE = 0.3  # bits between what is enough and what is not
EVALUATIONS = 8
NO_JUDGE = "`max_drop` needs a metric that says how good a file is, or agreement"


def silent(label: str, images: int) -> AbstractContextManager[None]:
    """A stage that nobody sees."""
    return nullcontext()


def _count(images: object) -> int:
    return len(images) if isinstance(images, Sized) else 0


@dataclass(frozen=True)
class Judge:
    """How files are judged.

    Attributes:
        path: the float model. batches: to evaluate on, gone through once for each file. metrics: of which the first
            that says how good a file is counts, else on how many images it differs. stage: is told of each pass.
    """

    path: Path
    batches: Iterable[Batch]
    metrics: Sequence[Chosen]
    provider: str = "auto"
    stage: Stage = silent

    _float: list[Evaluation] = field(default_factory=list, init=False)

    def check(self) -> None:
        """Whether the metrics can judge at all, on the first batch.

        Raises:
            OnnxqError: they cannot.
        """
        first = list(islice(self.batches, 1))
        try:
            (own,) = evaluate([self.path], first, metrics=self.metrics, provider=self.provider)
        except OnnxqError as error:
            raise OnnxqError(f"{error}; `metric` or `task` says by what files are judged") from error
        if all(METRICS.parse(metric).compares for metric in self.metrics) and "differs" not in own.values:
            raise OnnxqError(NO_JUDGE)

    def lost(self, file: Path) -> float:
        """By this file, beside the float one, which is evaluated once where outputs need not be compared.

        Raises:
            OnnxqError: as ``evaluate``.
        """
        alone = [metric for metric in self.metrics if not METRICS.parse(metric).compares]
        if not alone:
            _, own = self._evaluated([self.path, file], self.metrics)
            return own.values["differs"]
        if not self._float:
            self._float.extend(self._evaluated([self.path], alone))
        (own,) = self._evaluated([file], alone)
        first = METRICS.parse(alone[0])
        key = first.headline or next(iter(first.columns))
        exact, made = self._float[0].values[key], own.values[key]
        return made - exact if first.fewer_is_better else exact - made

    def _evaluated(self, files: Sequence[Path], metrics: Sequence[Chosen]) -> list[Evaluation]:
        with self.stage("evaluating", _count(self.batches)) as update:
            return evaluate(files, self.batches, metrics=metrics, provider=self.provider, progress=update)


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        best: None where not even 8 bits lose so little. tried: all files. statistics: that were given, or taken.
    """

    best: Quantized | None
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
    """The smallest file found that loses at most ``most``.

    Args:
        images: to calibrate and to round on, gone through several times.
        sensitivity: a file of them; measured where there is none. kept: what a search that was stopped has found.
        stage: is told of each pass over images. said: is told of each candidate.

    Raises:
        OnnxqError: as ``onnxq.quantize`` and ``onnxq.evaluate``.
    """
    best: Quantized | None = None
    enough: float | None = None  # bits
    tried: list[Candidate] = []
    low, high = LEAST, MOST
    count = _count(images)
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

        bits = 4.0
        while len(tried) < evaluations:
            candidate = kept.candidate(bits) if kept is not None else None
            result = None
            if candidate is None:
                result = made(bits)
                save_model(result.model, file)
                candidate = Candidate(bits, file.stat().st_size, judge.lost(file))
                if kept is not None:
                    kept.keep(candidate)
            tried.append(candidate)
            if said is not None:
                said(candidate)
            if candidate.lost <= most:
                best, enough, high = result, bits, bits
            else:
                low = bits
            if high - low < CLOSE:
                break
            bits = MOST if enough is None and low >= (LEAST + 2 * MOST) / 3 else (low + high) / 2
        if enough is not None and best is None:  # a former run has made it
            best = made(enough)
    if best is not None:
        set_metadata(best.model, {TRIED: json.dumps([asdict(candidate) for candidate in tried])})
    return Found(best, tried, seen)
