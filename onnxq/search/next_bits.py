"""Which file a search makes next, and which of those it made is the one. A part of ``search``.

What is lost is known up to chance: it is judged on few images. All files that were tried tell of each other: the error
of weights, and with it the share of images that change, halves with each bit. So one number, what is lost at 4 bits, is
estimated from all of them, and a file taken where it loses little enough at the upper end of that estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxq.search.candidates import Candidate

FIRST, LEAST, MOST = 4.0, 2.0, 8.0  # bits of a weight
CLOSE = 0.3  # bits between what is enough and what is not
EDGE = 0.25  # of the interval in question, that the next file stays away from its lower end: it always shrinks
SURE = 1.645  # standard errors: 95 of 100 files lose less
ROUNDED = 0.01  # bits, to which they are given
LEAST_ERROR = 0.1  # of what may be lost: no loss is known better


def enough_bits(tried: Sequence[Candidate], most: float) -> float:
    """At which files probably lose ``most``: by weighted least squares, with 95 % confidence.

    What a file gains beside the float network is chance, as quantizing gains nothing: the estimate is not below zero.
    Files are judged on the same images, so that their errors go together and do not shrink with their number.
    """
    weighed = []
    for each in filter(_is_known, tried):
        share, error = 2 ** (FIRST - each.bits), max(each.error, LEAST_ERROR * most, 1e-9)  # of what is lost at 4 bits
        weighed.append((each.lost / share, error / share, (share / error) ** 2))
    if not weighed:
        return math.inf
    weights = sum(weight for _, _, weight in weighed)
    lost = sum(lost * weight for lost, _, weight in weighed) / weights
    error = sum(error * weight for _, error, weight in weighed) / weights
    return FIRST + math.log2((max(lost, 0.0) + SURE * error) / max(most, 1e-9))


def chosen(tried: Sequence[Candidate], most: float) -> Candidate | None:
    """The one of the fewest bits that probably loses at most ``most``; else the one of the most bits that may."""
    if probable := _probable(tried, most):
        return min(probable, key=_bits)
    return max((each for each in tried if each.lost <= most), key=_bits, default=None)


def is_probable(tried: Sequence[Candidate], found: Candidate, most: float) -> bool:
    """Whether a file probably loses at most ``most``, by its own loss and by what all tell."""
    return found in _probable(tried, most)


def next_bits(tried: Sequence[Candidate], most: float) -> float | None:
    """Where files are just good enough, by all that were tried.

    Returns:
        None where the one that is chosen is close to the smallest.
    """
    if not tried:
        return FIRST
    enough = enough_bits(tried, most)
    best = min(_probable(tried, most), key=_bits, default=None)
    low = max((each.bits for each in tried if best is None or each.bits < best.bits), default=LEAST)
    if best is None:
        if low >= MOST:
            return None
        least = low + CLOSE * 2 ** (len(tried) - 1)  # where the loss does not shrink as guessed, it goes on faster
        return MOST if max(enough, least) > MOST - CLOSE else round(max(enough, least), 2)
    wanted = max(enough, low + EDGE * (best.bits - low), LEAST)
    if _most(best) <= most / 2:  # it shrinks faster than by halves
        wanted = min(wanted, (low + best.bits) / 2)
    return None if best.bits - wanted < CLOSE else round(wanted, 2)


def _probable(tried: Sequence[Candidate], most: float) -> list[Candidate]:
    if not tried:
        return []
    enough = enough_bits(tried, most)
    return [each for each in tried if each.lost <= most and (each.bits >= enough - ROUNDED or _most(each) <= most)]


def _bits(found: Candidate) -> float:
    return found.bits


def _most(found: Candidate) -> float:
    """What a file loses at most, with the same confidence, by its own loss alone."""
    return max(found.lost, 0.0) + SURE * found.error


def _is_known(found: Candidate) -> bool:
    return math.isfinite(found.lost) and math.isfinite(found.error)
