"""Whether a float network works on the data at all, and what is likely wrong if not. A part of ``evaluation``.

Quantized files cannot be judged beside a network that sees wrong colours. A few images are evaluated, and if the result
is that of no working network, preprocessing of other kinds is tried on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader, choose
from onnxq.data.preprocessing import TO_ONE, Preprocessing
from onnxq.evaluation.evaluate import tallied
from onnxq.evaluation.metrics import METRICS, Chosen, Metric

IMAGES = 64
ENOUGH = 16  # images, to say that a network does not work
CLEARLY = 10.0  # percent more, to recommend other preprocessing
ALIKE = 0.95  # of the best: of what helps about as much the smallest change is named
NORMALIZATIONS = (
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
)


def doubt(path: str | Path, loader: Loader | FeedLoader, metrics: Sequence[Chosen], provider: str) -> str | None:
    """What is likely wrong with a network or its data, as a sentence; None where nothing is, or no metric could tell.

    Raises:
        OnnxqError: as ``evaluate``.
    """
    if not any(METRICS.parse(metric).headline for metric in metrics):
        return None
    if isinstance(loader, FeedLoader):
        few = replace(loader, most=IMAGES)
        metric, images = _measured(path, few, metrics, provider)
        return None if images < ENOUGH or _works(metric) else f"{_said(path, metric, images)}; {metric.suspicion()}"
    places = choose(len(loader.indices), IMAGES)
    small = replace(loader, indices=[loader.indices[place] for place in places])
    metric, images = _measured(path, small, metrics, provider)
    if math.isnan(_headline(metric)):
        return f"nothing is annotated in {images} images of the data, spread over all"
    if images < ENOUGH or _works(metric):
        return None
    better: dict[str, float] = {}
    for options, preprocessing in _others(loader.preprocessing):
        other, _ = _measured(path, replace(small, preprocessing=preprocessing), metrics, provider)
        if _works(other) and _headline(other) > _headline(metric) + CLEARLY:
            better[options] = _headline(other)
    if better:
        options, value = next(pair for pair in better.items() if pair[1] >= ALIKE * max(better.values()))
        return (
            f"{_said(path, metric, images)}; with {options} it is {value:.1f} %: "
            f"`onnxq preprocess {path} {options} -o FILE` writes a model that says so"
        )
    return f"{_said(path, metric, images)}; other colours, scales and means do not help; {metric.suspicion()}"


def _measured(
    path: str | Path, loader: Loader | FeedLoader, metrics: Sequence[Chosen], provider: str
) -> tuple[Metric, int]:
    """The first metric that can tell, and on how many images."""
    (tally,), images = tallied([path], loader, metrics=metrics, provider=provider)
    return next(metric for metric in tally.metrics if metric.headline), images


def _others(own: Preprocessing) -> Iterator[tuple[str, Preprocessing]]:
    """What else may have been meant, as options of the command line, the smallest changes first."""
    color = "bgr" if own.color == "rgb" else "rgb"
    yield f"--color {color}", replace(own, color=color)
    scale = 1.0 if own.scale == TO_ONE else TO_ONE
    yield f"--scale {'1' if scale == 1.0 else '1/255'}", replace(own, scale=scale)
    if own.input_size[0] != len(NORMALIZATIONS[0][0]):
        return
    for mean, std in NORMALIZATIONS:
        if (mean, std, TO_ONE) != (own.mean, own.std, own.scale):
            written = [",".join(f"{value:g}" for value in values) for values in (mean, std)]
            scaled = "" if own.scale == TO_ONE else " --scale 1/255"
            yield f"--mean {written[0]} --std {written[1]}{scaled}", replace(own, mean=mean, std=std, scale=TO_ONE)


def _headline(metric: Metric) -> float:
    return metric.result()[metric.headline]


def _works(metric: Metric) -> bool:
    return _headline(metric) >= metric.least()


def _said(path: str | Path, metric: Metric, images: int) -> str:
    return f"{path}: {metric.headline} is {_headline(metric):.1f} % on {images} images, which a working network exceeds"
