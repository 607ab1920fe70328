"""A metric that a user gives as ``module.py:name``. A part of ``evaluation``, called by the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.given import imported, is_given
from onnxq.errors import OnnxqError, first_line
from onnxq.evaluation.metrics import METRICS, Metric, Outputs

SHOWN = ".4g"


def metric_name(spec: str) -> str:
    """The name of a metric by which ``METRICS`` knows it from now on: a registered name stays as it is.

    Args:
        spec: a name, or ``module.py:name`` of a subclass of ``Metric``, or of a function (outputs, labels) of a batch:
            arrays as the model has them, and int64 [N], -1 where there are no labels. The function returns a number, or
            numbers by name; their mean over images is reported. Where fewer is better, as of errors, its attribute
            ``fewer_is_better`` is true. The file is executed.

    Raises:
        OnnxqError: there is no such metric, or the file fails.
    """
    if not is_given(spec):
        METRICS.parse(spec)
        return spec
    if spec in METRICS.names():
        return spec
    given = imported(spec, "metric")
    if not (isinstance(given, type) and issubclass(given, Metric)):
        given = _of_function(spec, given)
    elif given in map(type, map(METRICS.parse, METRICS.names())):
        return METRICS.name_of(given())
    METRICS.register(spec)(given)
    return spec


def _of_function(spec: str, given: Callable[..., Any]) -> type[Metric]:
    @dataclass
    class Given(_Mean):
        columns: ClassVar[dict[str, str]] = {}
        function: ClassVar[Callable[..., Any]] = staticmethod(given)
        spec_: ClassVar[str] = spec
        fewer_is_better: ClassVar[bool] = bool(getattr(given, "fewer_is_better", False))

    return Given


@dataclass
class _Mean(Metric):
    """The mean over images of what a function says of batches."""

    function: ClassVar[Callable[..., Any]]
    spec_: ClassVar[str]
    counts: ClassVar[tuple[str, ...]] = ("images", "sums")

    images: dict[str, int] = field(default_factory=dict, init=False)
    sums: dict[str, float] = field(default_factory=dict, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: NDArray[np.int64]) -> None:
        """As ``Metric.update``."""
        try:
            made = type(self).function(list(outputs), target)
            values = made if isinstance(made, dict) else {self.spec_.rpartition(":")[2]: made}
            numbers = {str(name): float(value) for name, value in values.items()}
        except Exception as error:  # of somebody else's program
            raise OnnxqError(f"`metric` {self.spec_}: {type(error).__name__}: {first_line(error)}") from error
        for name, value in numbers.items():
            self.columns[name] = SHOWN
            self.sums[name] = self.sums.get(name, 0.0) + value * len(target)
            self.images[name] = self.images.get(name, 0) + len(target)

    def take_in(self, counted: Mapping[str, Any]) -> None:
        """As ``Metric.take_in``."""
        super().take_in(counted)
        self.columns.update(dict.fromkeys(self.sums, SHOWN))

    def result(self) -> dict[str, float]:
        """As ``Metric.result``."""
        return {name: total / max(self.images[name], 1) for name, total in self.sums.items()}
