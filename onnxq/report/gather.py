"""Everything that a report says about a quantized file, beside its float network. An entrance of ``report``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxq.comparison.compare import compare
from onnxq.comparison.sites import float_form
from onnxq.core.feeds import as_batch
from onnxq.core.metadata_keys import RECIPE
from onnxq.core.statistics import Statistics
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import evaluate
from onnxq.evaluation.metrics import Chosen
from onnxq.graph.model_files import bytes_of, fingerprint, load_model, metadata
from onnxq.graph.understanding import understanding
from onnxq.inspection.check import check
from onnxq.inspection.report import Check
from onnxq.observe.calibrate import calibrate
from onnxq.recipe import Recipe
from onnxq.recipe.targets import TARGETS
from onnxq.recipe.targets.base import IntegerTarget
from onnxq.report.facts import Report
from onnxq.report.flips import flips
from onnxq.report.float_layers import float_layers
from onnxq.report.layers import reported_layers
from onnxq.report.search import search_of, tried_by
from onnxq.report.speed import speeds
from onnxq.report.summary import command_of, facts_of, notes_of, yaml_of

USUAL_TARGET, USUAL_POINTS = "onnxruntime", "inputs"


@dataclass(frozen=True)
class Asked:
    """What a report is made of.

    Attributes:
        quantized, reference: the files. metrics: to evaluate by.
        statistics: of the float file; taken of the data where there are none.
        results: the folder of an `onnxq sweep`.
    """

    quantized: Path
    reference: Path
    metrics: Sequence[Chosen]
    statistics: Statistics | None = None
    results: Path | None = None
    provider: str = "auto"

    @property
    def passes(self) -> int:
        """How often the data are gone through, at most."""
        return 3 + (self.statistics is None)


def gather(asked: Asked, loader: Loader | FeedLoader, progress: Callable[[int], None] | None = None) -> Report:
    """Measure and look.

    Raises:
        OnnxqError: a file cannot be read or run, the two are not of one network, or there are no images.
    """
    files = (asked.reference, asked.quantized)
    exact, own = map(load_model, files)
    statistics = asked.statistics
    if statistics is not None:
        statistics.check_belongs(fingerprint(exact))
    said = metadata(own)
    made_by = _recipe(said.get(RECIPE))
    tried = tried_by(asked.reference, asked.results, said)  # what cannot be read is found before anything runs
    scores = evaluate(files, loader, metrics=asked.metrics, provider=asked.provider, progress=progress)
    (compared,) = compare(*files, loader.images, layers=True, provider=asked.provider, progress=progress)
    first = as_batch(next(iter(loader)).images)
    with understanding():
        layers_before = float_layers(float_form(exact, own), first, asked.provider)
    if statistics is None and any(layer.node.op_type in ("Conv", "Gemm") for layer in layers_before):
        points = made_by.resolved(None, has_images=True).resolved_points if made_by is not None else USUAL_POINTS
        statistics = calibrate(exact, loader.images, points=points, provider=asked.provider, progress=progress)
    checked = _checked(asked.quantized, made_by)
    in_float = {layer.name: layer.why for layer in checked.in_float} if checked is not None else None
    size = bytes_of(asked.quantized)
    layers = reported_layers(layers_before, own, size, compared.tensors, statistics, in_float)
    changed, count = None, 0
    if compared.outputs[0].same_argmax is not None:
        changed, count = flips(*files, loader, asked.provider, progress)
    measured = speeds(files, first, asked.provider)
    return Report(
        title=asked.quantized.name,
        facts=facts_of(files, scores, compared, checked, layers, loader.dataset.name, measured),
        layers=layers,
        images=compared.images,
        notes=notes_of(asked.quantized, checked),
        search=search_of(tried, scores[1], size, loader.dataset.name),
        recipe=yaml_of(made_by) if made_by is not None else "",
        command=command_of(files, said, loader.dataset.name) if made_by is not None else "",
        flips=changed,
        flipped=count,
    )


def _checked(path: Path, made_by: Recipe | None) -> Check | None:
    """By the runtime that the file is for; None of a file in operators of onnxq, which no runtime has kernels for."""
    target = made_by.resolved_target if made_by is not None else None
    if target is not None and not target.standard_operators:
        return None
    return check(path, TARGETS.name_of(target) if isinstance(target, IntegerTarget) else USUAL_TARGET)


def _recipe(written: str | None) -> Recipe | None:
    """None of files of other tools, and of other versions of this one."""
    try:
        return Recipe.from_json(written) if written is not None else None
    except OnnxqError:
        return None
