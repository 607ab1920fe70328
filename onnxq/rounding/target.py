"""What to round: weights that make of quantized inputs what the float ones make of exact ones. A part of ``rounding``.

With y = W x, G = E[x^ x^T] and C = E[y x^T], E|y - V x^|^2 is (V - W*) G (V - W*)^T and a constant, W* = C G^-1:
asymmetric inputs are a change of target (QEP, arXiv 2504.09629; GPTAQ, 2025). With E|y - V x^|^2 + damping |V - W|^2
the step to it is (C - W G) (G + damping)^-1. How far to go is decided on images that did not estimate the step, in
closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from onnxq.rounding.moments import FloatArray, Moments
from onnxq.rounding.parallel import product
from onnxq.rounding.positive_definite import solve_positive

DAMPINGS = (0.01, 0.1, 1.0)  # shares of the mean diagonal, to choose from


@dataclass(frozen=True)
class Reach:
    """How far to go: ``alpha`` times the step at this damping."""

    alpha: float
    damping: float


def step_to_target(weight: FloatArray, moments: Moments, damping: float) -> FloatArray:
    """(C - W G) (G + damping)^-1, float64 [g, r, d]; damping in shares of the mean diagonal."""
    return solve_positive(moments.damped(damping), _pull(weight, moments))


def _pull(weight: FloatArray, moments: Moments) -> FloatArray:
    """C - W G: what errors of the inputs make of the output, as seen by each input."""
    return np.asarray(moments.cross - product(weight, moments.own))


def reach_of(weight: FloatArray, parts: Sequence[Moments], alpha: float | None = None) -> Reach:
    """How far to go for this weight, by cross-validation: each part judges the steps that the others estimate.

    The error on a part is quadratic in alpha. It is clipped to [0, 1]; 0 where there are no two parts.

    Args:
        alpha: a given one; the damping alone is chosen.
    """
    pulls = [_pull(weight, part) for part in parts]
    pairs = list(permutations(range(len(parts)), 2))

    def judged(damping: float) -> tuple[float, Reach]:
        toward = against = 0.0
        for estimating, judging in pairs:
            step = solve_positive(parts[estimating].damped(damping), pulls[estimating])
            toward += float((step * pulls[judging]).sum())
            against += float((product(step, parts[judging].own) * step).sum())
        chosen = alpha
        if chosen is None:
            chosen = min(max(toward / against, 0.0), 1.0) if against > 0 else 0.0
        return 2 * chosen * toward - chosen**2 * against, Reach(chosen, damping)

    return max(map(judged, DAMPINGS), key=lambda found: found[0])[1]
