"""A clipping rule as a user would add it: half of what was seen."""

from dataclasses import dataclass

from onnxq.clipping import CLIPPINGS, Clipping
from onnxq.core.checks import number


@CLIPPINGS.register("share")
@dataclass(frozen=True)
class Share(Clipping):
    """A share of the range seen."""

    share: float = 0.5

    def problems(self):
        return number("share.share", self.share, 0.01, 1)

    def interval(self, observed, bits):
        lower, upper = observed.limits
        return lower * self.share, upper * self.share
