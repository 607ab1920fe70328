"""Stems for images of about 32 x 32 pixels: torchvision's networks begin by shrinking images of 224 to a quarter.

What CIFAR versions of these networks do: a 3 x 3 convolution of stride 1 at the start, and less pooling behind it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from onnxq.errors import OnnxqError


def with_small_stem(model: nn.Module, arch: str) -> nn.Module:
    """Change the stem of a torchvision network, in place: of ResNet, MobileNetV2, SqueezeNet 1.1 and AlexNet.

    Raises:
        OnnxqError: there is no such stem for this network.
    """
    changes: dict[str, Any] = {
        "mobilenet_v2": _mobilenet_v2,
        "squeezenet1_1": _squeezenet,
        "alexnet": _alexnet,
    }
    change = _resnet if arch.startswith(("resnet", "resnext", "wide_resnet")) else changes.get(arch)
    if change is None:
        raise OnnxqError(
            f"`small_stem`: there is none for {arch}; there are for resnet*, resnext*, wide_resnet*, "
            f"{', '.join(changes)}"
        )
    torch.manual_seed(0)
    change(model)
    return model


def _resnet(model: Any) -> None:
    model.conv1 = nn.Conv2d(3, model.conv1.out_channels, 3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()


def _mobilenet_v2(model: Any) -> None:
    """Strides only: its convolutions are 3 x 3 already, and weights for larger images fit."""
    model.features[0][0].stride = (1, 1)
    model.features[2].conv[1][0].stride = (1, 1)


def _squeezenet(model: Any) -> None:
    model.features[0].stride, model.features[0].padding = (1, 1), (1, 1)


def _alexnet(model: Any) -> None:
    """Its last feature map is 3 x 3 at 32 x 32 pixels."""
    model.features[0] = nn.Conv2d(3, 64, 3, stride=1, padding=1)
    model.avgpool = nn.Identity()
    model.classifier[1] = nn.Linear(256 * 3 * 3, 4096)
