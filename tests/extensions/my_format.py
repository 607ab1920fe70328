"""A number format as a user would add it, a variation of one there is: symmetric, with scales that are powers of two."""

from dataclasses import dataclass, replace

import numpy as np

from onnxq.formats import FORMATS
from onnxq.formats.symmetric import Symmetric


def up_to_power_of_two(params):
    return replace(params, scale=np.exp2(np.ceil(np.log2(params.scale))).astype(np.float32))


@FORMATS.register("shift")
@dataclass(frozen=True)
class Shift(Symmetric):
    """Dequantized by a shift."""

    holds_scale = False

    def fit_activation(self, observed, bits, rule):
        return up_to_power_of_two(super().fit_activation(observed, bits, rule))

    def fit_weight(self, rows, bits):
        return up_to_power_of_two(super().fit_weight(rows, bits))
