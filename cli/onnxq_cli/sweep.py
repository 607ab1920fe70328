"""onnxq sweep"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from onnxq.core.files import size_text
from onnxq.errors import OnnxqError
from onnxq.evaluation.given_metric import metric_name
from onnxq.evaluation.metrics import METRICS, usual_metrics
from onnxq.figures.base import FIGURES, SUFFIXES, save_figure
from onnxq.search.sweep import Job, Plan, Result, best_first, digest_of, do_job, failure, known_result, read_plan
from onnxq_cli.common import (
    check_outputs,
    image_options,
    json_option,
    make_loader,
    printable,
    provider_option,
    table,
    write_json,
)
from onnxq_cli.engines import check_engine, engine_options, here, on_ray
from onnxq_cli.eval import HEADINGS


@dataclass(frozen=True)
class Setting:
    """All that a job needs beside itself; it travels to workers."""

    plan: Plan
    folder: str
    metrics: tuple[str, ...]
    provider: str
    loading: Mapping[str, Any]


@click.command("sweep")
@click.argument("plan", metavar="SWEEP.yaml")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Where results are, and are found again.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME|module.py:NAME", help="As of `onnxq eval`.")
@click.option("--plot", metavar="FILE", help="Draw the metric over bytes, and over speed: .svg, .png, .html.")
@engine_options
@image_options
@provider_option
@json_option
def command(
    plan: str,
    output: str,
    metrics: tuple[str, ...],
    plot: str | None,
    engine: str,
    address: str | None,
    provider: str,
    json_path: str | None,
    **loading: Any,
) -> None:
    """Quantize models by many recipes and evaluate each file; what is done already is not done again.

    \b
    models: [resnet50.onnx]            # SWEEP.yaml
    data: imagenet/train
    test: imagenet/val
    base: {act_bits: 8}
    grid: {weight_bits: [2, 3, 4], rounding: [nearest, gptq]}

    \b
    onnxq sweep SWEEP.yaml -o results --plot pareto.svg
    """
    asked = read_plan(plan)
    check_outputs(json_path, plot, models=[job.model for job in asked.jobs], inputs=[plan, asked.data, asked.test])
    check_engine(engine, address)
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OnnxqError(f"{output}: cannot be made: {error.strerror}") from error
    for metric in metrics:
        metric_name(metric)  # those that there are not are found before anything runs
    if plot is not None and Path(plot).suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"--plot {plot}: a file of {', '.join(SUFFIXES)}")
    setting = Setting(asked, str(folder.resolve()), metrics, provider, loading)
    digests: list[str | None] = [_digest_or_none(setting, job) for job in asked.jobs]
    results: dict[str, Result] = {}
    for digest in filter(None, digests):
        if (known := known_result(folder, digest)) is not None:
            results[digest] = known
    if results:
        click.echo(f"{sum(digest in results for digest in digests)} of {len(asked.jobs)} are done already")
    first = {digest or f"job {number}": number for number, digest in reversed(list(enumerate(digests)))}
    wanted = sorted(number for digest, number in first.items() if digest not in results)
    tasks = [(setting, number, digests[number]) for number in wanted]
    done = on_ray(work, tasks, address, provider) if engine == "ray" else here(work, tasks)
    failed = []
    for count, ((_, number, _), found) in enumerate(done, start=1):
        job = asked.jobs[number]
        if isinstance(found, OnnxqError):
            failed.append(failure(job, found))
            click.echo(f"[{count}/{len(tasks)}] failed: {printable(failed[-1])}", err=True)
            continue
        results[digests[number] or ""] = found
        click.echo(f"[{count}/{len(tasks)}] {printable(job.name)}", err=True)
    pairs = [(job, digest) for job, digest in zip(asked.jobs, digests, strict=True) if digest in results]
    rows = [{**results[digest or ""], "model": job.model, "name": job.name} for job, digest in pairs]
    if rows:
        click.echo(sweep_table(rows))
    write_json(json_path, rows)
    if plot is not None and rows:
        save_figure(FIGURES.parse("pareto"), [str(folder / f"{digest}.json") for _, digest in pairs], plot)
    if failed:
        raise OnnxqError(
            f"{len(failed)} of {len(asked.jobs)} failed, the first one: {failed[0]}; run it again for these"
        )


def work(task: tuple[Setting, int, str | None]) -> Result:
    """Do one job of a plan, wherever this is; its digest is that of who asks, if it could be taken."""
    setting, number, digest = task
    job = setting.plan.jobs[number]
    calibration, test = _loaders(setting, job)
    metrics = _metrics(setting, test.dataset.class_count)
    key = digest or _digest(setting, job)
    return do_job(job, Path(setting.folder), key, calibration, test, metrics, setting.provider)


def _digest_or_none(setting: Setting, job: Job) -> str | None:
    """None of a job that cannot be done, which whoever does it says."""
    try:
        return _digest(setting, job)
    except OnnxqError:
        return None


def _loaders(setting: Setting, job: Job) -> tuple[Any, Any]:
    plan = setting.plan
    return (
        make_loader(job.model, plan.data, "calib", plan.images, setting.provider, **setting.loading),
        make_loader(job.model, plan.test, "test", plan.test_images, setting.provider, **setting.loading),
    )


def _metrics(setting: Setting, classes: int) -> tuple[str, ...]:
    return tuple(map(metric_name, setting.metrics)) or usual_metrics(classes)


def _digest(setting: Setting, job: Job) -> str:
    loaders = _loaders(setting, job)
    steps = job.recipe.to_dict().get("steps") or []
    read = [entry["budget"].get("sensitivity") for entry in steps if isinstance(entry, dict) and "budget" in entry]
    files = [setting.plan.data, setting.plan.test, *setting.metrics, *filter(None, read)]
    return digest_of(job, loaders, _metrics(setting, loaders[1].dataset.class_count), files, setting.provider)


def sweep_table(results: Sequence[Result]) -> str:
    """A line for each; a star where no other is better at no more bytes."""
    columns, fewer = [name for name in results[0]["result"] if name in _shown()], _fewer_is_better()
    rows = []
    for model in dict.fromkeys(each["model"] for each in results):
        own = [each for each in results if each["model"] == model]
        first = columns[0] if columns else ""
        front = [id(each) for each in best_first(own, first, "bytes", fewer=first in fewer)] if first else []
        for each in own:
            values = each["result"]
            rows.append(
                [
                    printable(f"{Path(model).name}  {each['name']}"),
                    *(f"{values[name]:.2f}" for name in columns),
                    size_text(values["bytes"]),
                    f"{values['images_per_second']:.0f}",
                    "*" if id(each) in front else "",
                ]
            )
    return table(["model, recipe", *(HEADINGS.get(name, name) for name in columns), "size", "images/s", "best"], rows)


def _fewer_is_better() -> set[str]:
    found = (METRICS.parse(name) for name in METRICS.names())
    return {next(iter(metric.columns)) for metric in found if metric.fewer_is_better}


def _shown() -> set[str]:
    return {column for name in METRICS.names() for column in METRICS.parse(name).columns}
