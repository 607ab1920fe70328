"""A metric over bytes and over speed, from the results of `onnxq sweep`. A figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from onnxq.core.results import HEADLINES, pareto_front, sweep_result
from onnxq.errors import OnnxqError
from onnxq.figures.base import FIGURES, Figure

COSTS = (("bytes", "bytes", False), ("images_per_second", "images a second", True))


@FIGURES.register("pareto")
@dataclass(frozen=True)
class Pareto(Figure):
    """A point for each file, a line through those that no other beats; a colour for each model."""

    inputs: ClassVar[str] = "results of `onnxq sweep` (the .json files in its folder)"

    @property
    def panels(self) -> int:
        """Bytes, and speed."""
        return len(COSTS)

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        results = [sweep_result(path) for path in paths]
        metric = next((name for name in HEADLINES if all(name in each["result"] for each in results)), None)
        if metric is None:
            raise OnnxqError(f"nothing to draw: the results have none of {', '.join(HEADLINES)} in common")
        for panel, (cost, heading, more_is_better) in zip(axes, COSTS, strict=True):
            for model in dict.fromkeys(each["model"] for each in results):
                points = [
                    (float(each["result"][cost]), float(each["result"][metric]))
                    for each in results
                    if each["model"] == model
                ]
                front = pareto_front(*zip(*points, strict=True), more_is_better=more_is_better)
                (line,) = panel.plot(*zip(*(points[place] for place in front), strict=True), label=Path(model).name)
                panel.scatter(*zip(*points, strict=True), color=line.get_color(), s=18)
            panel.set(xlabel=heading, ylabel=metric, xscale="log")
            panel.legend()
