"""Images held back from all that estimates, to judge it by. A part of ``refine``, made by the flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxq.core.feeds import Batch, as_batch
from onnxq.refine.refinement import Images

EVERY = 8  # one image of so many is held back
MOST = 128  # are kept in memory for it

Kept = list[Batch]


@dataclass
class HeldBack:
    """Goes through the images that are not held back, and keeps those that are.

    Attributes:
        images: all. every: one of so many is held back: the last of each eight, for example; 0 holds back none.
        whole_batches: batches cannot be cut, since the model fixes their size.
        given: how many images there are; 0 before they were gone through.
    """

    images: Images
    every: int = EVERY
    whole_batches: bool = False
    given: int = field(default=0, init=False)
    _kept: Kept | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[Batch]:
        kept: Kept = []
        start = given_so_far = 0
        for given in self.images:
            batch = as_batch(given)
            places = start + np.arange(1 if self.whole_batches else len(batch))
            start += len(places)
            given_so_far += len(batch)
            held = np.repeat(self._is_held(places), len(batch) // max(len(places), 1))
            if held.any() and sum(map(len, kept)) < MOST:
                kept.append(batch[held])
            if not held.all():
                yield batch[~held] if held.any() else batch
        self._kept, self.given = kept, given_so_far

    def _is_held(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (places + 1) % self.every == 0 if self.every else np.zeros(len(places), bool)

    @property
    def kept(self) -> Kept:
        """The images that are held back."""
        if self._kept is None:
            for _ in self:
                pass
        return self._kept or []


def not_held_back(images: int, every: int = EVERY) -> int:
    """How many of so many images steps look at."""
    return images - (images // every if every else 0)
