"""Which file a search makes next, and which of those it made is the one. A part of ``search``.

What is lost is known up to chance: it is judged on few images. A file is taken where what it loses and one standard
error of that are within what may be lost; what it gains beside the float network is chance and counts as nothing lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxq.search.candidates import Candidate

FIRST, LEAST, MOST = 4.0, 2.0, 8.0  # bits of a weight
CLOSE = 0.3  # bits between what is enough and what is not
EDGE = 0.25  # of what is left, that the next file stays away from both its ends: it always shrinks


def chosen(tried: Sequence[Candidate], most: float) -> Candidate | None:
    """The one of the fewest bits that probably loses at most ``most``; else the one of the most bits that may."""
    if probable := [each for each in tried if each.likely <= most]:
        return min(probable, key=lambda each: each.bits)
    return max((each for each in tried if each.lost <= most), key=lambda each: each.bits, default=None)


def next_bits(tried: Sequence[Candidate], most: float) -> float | None:
    """By bisection, at the place where the last file's loss, which halves with each bit, would be ``most``.

    Returns:
        None where the one that is chosen is close to the smallest.
    """
    if not tried:
        return FIRST
    last = tried[-1]
    high = min((each.bits for each in tried if each.likely <= most), default=None)
    low = max((each.bits for each in tried if each.likely > most), default=LEAST)
    guess = last.bits + math.log2(max(last.likely, 1e-3) / max(most, 1e-3))
    if high is None:
        if low >= MOST:
            return None
        least = low + CLOSE * 2 ** (len(tried) - 1)  # where the loss does not shrink as guessed, it goes on faster
        return MOST if max(guess, least) > MOST - CLOSE else round(max(guess, least), 2)
    if high - low < CLOSE or (last.bits == high and guess > high - CLOSE):
        return None
    margin = EDGE * (high - low)
    return round(min(max(guess, low + margin), high - margin), 2)
