"""Many recipes over many models: one job each, its result a file that the next run finds. A part of ``search``.

Results are keyed by what they depend on: the model, the images, the recipe, the version. A job that was interrupted
leaves nothing, and is done by the next run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from onnxq._version import __version__
from onnxq.core.files import replacing
from onnxq.core.results import pareto_front, plain
from onnxq.data.datasets.folder import file_stamp
from onnxq.data.feeds import FeedLoader
from onnxq.data.image_cache import cache_path
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError, first_line
from onnxq.evaluation.evaluate import evaluate
from onnxq.evaluation.metrics import Chosen
from onnxq.flow import quantize
from onnxq.graph.model_files import fingerprint, load_model, save_model
from onnxq.recipe import Recipe
from onnxq.recipe.files import load_recipe, load_yaml

FIELDS = ("models", "data", "test", "images", "test_images", "recipes", "base", "grid")
MOST_JOBS = 100_000
Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One recipe for one model. name: of the recipe, for tables."""

    model: str
    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """What a file of a sweep asks for.

    Attributes:
        jobs: in its order. data, test: names of data sets to calibrate on, and to evaluate on.
        images, test_images: how many of each; None for all to evaluate on.
    """

    jobs: tuple[Job, ...]
    data: str
    test: str
    images: int = 256
    test_images: int | None = None


def read_plan(path: str) -> Plan:
    """A YAML file: ``models`` and ``data``; ``recipes``, a list of names or of fields; or ``grid``, lists of values of
    fields, all combinations of which are put into the recipe ``base``.

    Raises:
        OnnxqError: it is something else, or a recipe is none.
    """
    content = load_yaml(path)
    if not isinstance(content, dict) or set(content) - set(FIELDS):
        unknown = sorted(map(str, set(content) - set(FIELDS))) if isinstance(content, dict) else ["no fields"]
        raise OnnxqError(f"{path}: {', '.join(unknown)}; the fields are {', '.join(FIELDS)}")
    models, data = content.get("models"), content.get("data")
    models = [models] if isinstance(models, str) else models
    if not isinstance(models, list) or not models or not all(isinstance(model, str) for model in models):
        raise OnnxqError(f"{path}: `models` must be a list of ONNX files")
    test = content.get("test", data)
    if not isinstance(data, str) or not isinstance(test, str):
        raise OnnxqError(f"{path}: `data`, and `test` where it differs, must name images")
    counts = [content.get("images", 256), content.get("test_images")]
    if not all(count is None or (type(count) is int and count > 0) for count in counts) or counts[0] is None:
        raise OnnxqError(f"{path}: images and test_images are whole numbers")
    named = [*_listed(path, content.get("recipes", [])), *_combined(path, content.get("grid"), content.get("base", {}))]
    if not named or len(named) * len(models) > MOST_JOBS:
        raise OnnxqError(f"{path}: {len(named)} recipes for {len(models)} models: `recipes` or `grid` has them")
    jobs = tuple(Job(model, name, recipe) for model in models for name, recipe in named)
    return Plan(jobs, data, test, counts[0], counts[1])


def _listed(path: str, entries: object) -> list[tuple[str, Recipe]]:
    if not isinstance(entries, list) or not all(isinstance(entry, (str, dict)) for entry in entries):
        raise OnnxqError(f"{path}: `recipes` must be a list of names of recipes, or of fields")
    return [(_said(entry), _recipe(path, entry)) for entry in entries]


def _combined(path: str, grid: object, base: object) -> list[tuple[str, Recipe]]:
    if grid is None:
        return []
    lists = isinstance(grid, dict) and all(isinstance(own, list) for own in grid.values())
    if not lists or not isinstance(grid, dict) or not isinstance(base, dict):
        raise OnnxqError(f"{path}: `grid` must map fields to lists of values, and `base` fields to values")
    found = []
    for values in product(*grid.values()):
        varied = dict(zip(grid, values, strict=True))
        found.append((_said(varied), _recipe(path, {**base, **varied})))
    return found


def _recipe(path: str, entry: str | dict[str, Any]) -> Recipe:
    try:
        return load_recipe(entry) if isinstance(entry, str) else Recipe.from_dict(entry)
    except OnnxqError as error:
        raise OnnxqError(f"{path}: recipe {_said(entry)}: {error}") from error


def _said(entry: str | Mapping[str, Any]) -> str:
    return entry if isinstance(entry, str) else ", ".join(f"{name} {value}" for name, value in entry.items())


def digest_of(
    job: Job, loaders: Sequence[Loader | FeedLoader], metrics: Sequence[Chosen], files: Sequence[str], provider: str
) -> str:
    """Of what a result depends on: what modules that are given import is not looked at.

    Args:
        files: names of data sets and of metrics, files that the recipe reads; what of them is a file counts by content.
    """
    facts = [__version__, fingerprint(load_model(job.model)), job.recipe.to_json(), json.dumps(list(metrics)), provider]
    facts += [_content(file) for file in files]
    for loader in loaders:
        facts.append(f"{loader.dataset.name} {loader.batch_size} {list(loader.indices)}")
        if isinstance(loader, FeedLoader):
            facts += [str(loader.most), *(file_stamp(path) for path in getattr(loader.dataset, "paths", ()))]
            continue
        facts.append(str(loader.skip_bad_images))
        facts.append(str(cache_path(Path(), loader.dataset, loader.preprocessing, loader.indices)))
        if loader.dataset.class_count:
            facts.append(str([loader.dataset.label(index) for index in loader.indices]))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]


def _content(name: str) -> str:
    """Of a file, or of that in ``kind:FILE`` and ``module.py:name``; the name where there is none."""
    for path in (name, name.partition(":")[2], name.rpartition(":")[0]):
        if path and Path(path).is_file():
            with Path(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return name


def known_result(folder: Path, digest: str) -> Result | None:
    """What a former run found, if it did."""
    try:
        content: Result = json.loads((folder / f"{digest}.json").read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "result" in content else None


def do_job(
    job: Job,
    folder: Path,
    digest: str,
    calibration: Loader | FeedLoader,
    test: Loader | FeedLoader,
    metrics: Sequence[Chosen],
    provider: str,
) -> Result:
    """Quantize and evaluate; the file stays beside the result.

    Raises:
        OnnxqError: as ``onnxq.quantize`` and ``onnxq.evaluate``.
    """
    file = folder / f"{digest}.onnx"
    made = quantize(job.model, None, job.recipe, images=calibration.images, provider=provider)
    save_model(made.model, file)
    exact, own = evaluate([job.model, file], test, metrics=metrics, provider=provider)
    found: Result = {
        "model": job.model,
        "name": job.name,
        "version": __version__,
        "data": [calibration.dataset.name, test.dataset.name],
        "recipe": json.loads(job.recipe.to_json()),
        "float": exact.to_json(),
        "result": own.to_json(),
    }
    with replacing(folder / f"{digest}.json") as temporary:
        temporary.write_text(json.dumps(plain(found), indent=1) + "\n")
    return found


def best_first(results: Sequence[Result], metric: str, cost: str, *, fewer: bool = False) -> Iterator[Result]:
    """The Pareto front: results that no other beats in the metric at the same cost or less, cheapest first.

    Args:
        fewer: of the metric are better.
    """
    own = [each["result"] for each in results]
    front = pareto_front([each[cost] for each in own], [-each[metric] if fewer else each[metric] for each in own])
    return (results[place] for place in front)


def failure(job: Job, error: OnnxqError) -> str:
    """A line about a job that failed."""
    return f"{Path(job.model).name}, {job.name}: {first_line(error)}"
