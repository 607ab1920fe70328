"""A metric as a user would add it: the largest difference from the first file."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from onnxq.evaluation import METRICS, Metric


@METRICS.register("largest-difference")
@dataclass
class LargestDifference(Metric):
    columns: ClassVar = {"largest": ".3f"}
    compares: ClassVar = True

    largest: float = field(default=0.0, init=False)

    def update(self, outputs, reference, target):
        self.largest = max(self.largest, float(np.abs(outputs[0] - reference[0]).max()))

    def result(self):
        return {"largest": self.largest}
