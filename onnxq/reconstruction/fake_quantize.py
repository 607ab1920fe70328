"""FakeQuantize with gradients, to its scale too. A part of ``reconstruction``.

Esser et al., "Learned Step Size Quantization", ICLR 2020 (arXiv 1902.08153), equations 1 to 3, with a zero point: the
gradient to x passes where x is not cut off; that to the scale is what the error of rounding tells.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, top: Tensor) -> Tensor:
        position = x / scale
        code = torch.round(position) + zero_point
        inside = (code >= 0) & (code <= top)
        centred = torch.minimum(torch.clamp_(code, min=0), top) - zero_point
        ctx.save_for_backward(inside, centred - torch.where(inside, position, 0))
        ctx.shape = scale.shape
        return centred * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        inside, by_scale = ctx.saved_tensors
        return torch.where(inside, gradient, 0), (gradient * by_scale).sum_to_size(ctx.shape), None, None


class FakeQuantize(torch.nn.Module):
    """The operator, each of its scales times exp(``log_factor``), which is learnt; zero points stay.

    Args:
        scale, zero_point: float32. bits: int32. All as of the operator.
    """

    def __init__(self, scale: Tensor, zero_point: Tensor, bits: Tensor) -> None:
        super().__init__()
        self.scale, self.zero_point, self.top = scale, zero_point, torch.exp2(bits.to(scale)) - 1
        self.log_factor = torch.nn.Parameter(torch.zeros_like(scale))

    @property
    def learnt_scale(self) -> Tensor:
        """Of the shape of the scale."""
        return self.scale * torch.exp(self.log_factor)

    def forward(self, x: Tensor) -> Tensor:
        """x quantized."""
        made: Tensor = _Quantize.apply(x, self.learnt_scale, self.zero_point, self.top)
        return made
