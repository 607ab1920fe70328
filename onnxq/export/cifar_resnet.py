"""ResNets for images of 32 x 32 pixels: three stages of 16, 32 and 64 channels. A part of ``export``; it needs torch.

He et al., "Deep residual learning for image recognition" (2016), section 4.2, with a 1 x 1 convolution where a stage
begins. Modules are named as in torchvision's ResNets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

ConvolutionOf = Callable[..., nn.Conv2d]


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, convolution: ConvolutionOf) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1:
            shortcut = convolution(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        made = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(made + (x if self.downsample is None else self.downsample(x)))


class CifarResNet(nn.Module):
    """A ResNet of 6 * ``blocks`` + 2 layers.

    Args:
        convolution, first, last: what makes the convolutions of blocks, the first one, and the last layer.
    """

    def __init__(
        self,
        blocks: int,
        classes: int = 10,
        *,
        convolution: ConvolutionOf = nn.Conv2d,
        first: ConvolutionOf = nn.Conv2d,
        last: Callable[..., nn.Linear] = nn.Linear,
    ) -> None:
        super().__init__()
        self.conv1 = first(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)

        def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            others = [Block(outputs, outputs, 1, convolution) for _ in range(blocks - 1)]
            return nn.Sequential(Block(inputs, outputs, stride, convolution), *others)

        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.fc = last(64, classes)

    def forward(self, x: torch.Tensor) -> Any:
        """[N, 3, H, W] to logits [N, classes]."""
        x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))
