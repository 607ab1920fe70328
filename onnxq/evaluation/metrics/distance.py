"""How far all outputs are from those of the first file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target


@METRICS.register("distance")
@dataclass
class Distance(Metric):
    """Signal to quantization noise of all outputs together, in dB, against the first file; of outputs of any shape."""

    columns: ClassVar[dict[str, str]] = {"sqnr": ".1f"}
    compares: ClassVar[bool] = True
    counts: ClassVar[tuple[str, ...]] = ("signal", "noise")

    signal: float = field(default=0.0, init=False)
    noise: float = field(default=0.0, init=False)

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """As ``Metric.update``."""
        for own, first in zip(outputs, reference, strict=True):
            if own.shape != first.shape:
                raise OnnxqError(f"an output has shape {list(own.shape)}, that of the first file {list(first.shape)}")
            exact = first.astype(np.float64)
            self.signal += float(np.square(exact).sum())
            self.noise += float(np.square(own.astype(np.float64) - exact).sum())

    def result(self) -> dict[str, float]:
        """As ``Metric.result``; infinite where nothing differs."""
        if self.noise == 0:
            return {"sqnr": float("inf")}
        return {"sqnr": 10 * float(np.log10(max(self.signal, 1e-300) / self.noise))}
