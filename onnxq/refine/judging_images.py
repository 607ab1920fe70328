"""Images of the part that judges, spread over all, for what is measured on the whole network. A part of ``refine``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from onnxq.core.feeds import Batch, as_batch
from onnxq.refine.refinement import Images

MOST = 128  # that are kept in memory
CHOSEN = 32


@dataclass
class JudgingImages:
    """Goes through images, and keeps those of the last part, as ``ErrorFeedback.moments`` has parts: by their number.

    Attributes:
        parts: how many there are. whole_batches: batches cannot be cut, since the model fixes their size: those of
            more than one image are kept as they are, though they have images of all parts.
    """

    images: Images
    parts: int
    whole_batches: bool = False
    _kept: list[Batch] = field(default_factory=list, init=False)

    def __iter__(self) -> Iterator[Batch]:
        self._kept, seen = [], 0
        for given in self.images:
            batch = as_batch(given)
            judges = np.arange(seen, seen + len(batch)) % self.parts == self.parts - 1
            seen += len(batch)
            if judges.any() and sum(map(len, self._kept)) < MOST:
                self._kept.append(batch.copy() if self.whole_batches else batch[judges].copy())
            yield batch

    @property
    def chosen(self) -> list[Batch]:
        """About 32 of them, spread evenly, batch by batch."""
        total = sum(map(len, self._kept))
        wanted = set(np.linspace(0, total - 1, min(CHOSEN, total)).astype(int).tolist())
        found, start = [], 0
        for batch in self._kept:
            places = np.array([start + place in wanted for place in range(len(batch))])
            start += len(batch)
            if places.any():
                found.append(batch if self.whole_batches else batch[places])
        return found
