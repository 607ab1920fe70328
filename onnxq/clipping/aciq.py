"""The best of ACIQ's priors for each channel: the default. A clipping rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxq.clipping.base import CLIPPINGS, BitArray, Clipping
from onnxq.clipping.spread import AciqGauss, AciqLaplace
from onnxq.core.observed import Interval, Observed
from onnxq.formats.affine import affine_params


@CLIPPINGS.register("aciq")
@dataclass(frozen=True)
class Aciq(Clipping):
    """Of Laplace, Gauss and the full range the one whose expected error on the histogram is smallest."""

    def priors(self) -> tuple[Clipping, ...]:
        """The rules to choose from, beside the full range."""
        return AciqLaplace(), AciqGauss()

    def interval(self, observed: Observed, bits: BitArray) -> Interval:
        """As ``Clipping.interval``."""
        candidates = [prior.interval(observed, bits) for prior in self.priors()]
        candidates.append(observed.limits)
        error = [
            affine_params(lower, upper, bits).expected_squared_error(observed.histogram, observed.anchor)
            for lower, upper in candidates
        ]
        best = np.argmin(error, axis=0)[None]
        lower, upper = (
            np.take_along_axis(np.stack(bounds), best, axis=0)[0] for bounds in zip(*candidates, strict=True)
        )
        return lower, upper

    def published(self, bits: float) -> Clipping:
        """With the published rules."""
        return CLIPPINGS.parse({"published-aciq": {"bits": int(bits)}})
