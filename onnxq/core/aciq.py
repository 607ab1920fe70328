"""ACIQ: the clipping threshold of smallest expected squared error, in closed form. A ground module.

Banner, Nahshan, Soudry: "Post training 4-bit quantization of convolutional networks for
rapid deployment", NeurIPS 2019. A uniform quantizer of 2^bits bins over [-alpha, alpha] has
the noise alpha^2 / (3 * 4^bits); clipping adds the error of the two tails.

A quantizer after a ReLU spends all bins on the positive side, which halves the step: its
optimum is that of the symmetric quantizer with one more bit.
"""

from __future__ import annotations

import math
from functools import cache


@cache
def laplace_multiplier(bits: float) -> float:
    """alpha / b that minimises 2 b^2 e^(-alpha/b) + alpha^2 / (3 * 4^bits) for a Laplace(0, b) density.

    The derivative (eq. 6) vanishes where (alpha/b) e^(alpha/b) = 3 * 4^bits, which Newton's method solves.

    >>> round(laplace_multiplier(4), 6)
    5.02864
    """
    target = math.log(3) + bits * math.log(4)
    z = target if target < 1 else math.log(target)  # a = e^z; z + e^z = target rises and is convex in z
    for _ in range(50):
        step = (z + math.exp(z) - target) / (1 + math.exp(z))
        z -= step
        if abs(step) < 1e-15 * max(abs(z), 1):
            break
    return math.exp(z)


def laplace_error(alpha: float, bits: float) -> float:
    """The expected squared error of a Laplace(0, 1) density clipped at alpha: 2 e^-alpha + alpha^2 / (3 * 4^bits).

    >>> round(laplace_error(laplace_multiplier(4), 4), 6)
    0.046021
    """
    return 2 * math.exp(-alpha) + alpha * alpha / (3 * 4**bits)


def gauss_error(alpha: float, bits: float) -> float:
    """That of a Normal(0, 1) density; the formula is in ``gauss_multiplier``.

    >>> round(gauss_error(gauss_multiplier(4), 4), 6)
    0.010493
    """
    tails = (1 + alpha * alpha) * math.erfc(alpha / math.sqrt(2))
    return tails - math.sqrt(2 / math.pi) * alpha * math.exp(-alpha * alpha / 2) + alpha * alpha / (3 * 4**bits)


@cache
def gauss_multiplier(bits: float) -> float:
    """alpha / sigma that minimises the error of a Normal(0, sigma) density.

    MSE(a) = (1 + a^2) erfc(a / sqrt 2) - sqrt(2 / pi) a e^(-a^2 / 2) + a^2 / (3 * 4^bits), whose derivative
    2 a erfc(a / sqrt 2) - 2 sqrt(2 / pi) e^(-a^2 / 2) + 2 a / (3 * 4^bits) rises through zero once: bisection.

    >>> round(gauss_multiplier(4), 5)
    2.55914
    """

    def slope(a: float) -> float:
        tails = a * math.erfc(a / math.sqrt(2)) - math.sqrt(2 / math.pi) * math.exp(-a * a / 2)
        return tails + a / (3 * 4**bits)

    low, high = 0.0, 16.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2
