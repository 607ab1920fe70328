"""torchvision's networks for segmentation and detection as modules of tensors alone. A part of ``export``.

A segmentation network gives its scores for each pixel. Of a detector what it computes for all anchors is exported,
before boxes are chosen; of one with two stages the backbone and the first stage (the second reads boxes, whose number
is not known before).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError


class PixelScores(nn.Module):
    """[N, 3, H, W] to scores [N, classes, H, W]; the auxiliary head of training is left out."""

    outputs = ("out",)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The main output."""
        out: torch.Tensor = self.network(x)["out"]
        return out


class AnchorScores(nn.Module):
    """[N, 3, H, W] to what a head gives for all anchors: scores, offsets of boxes, and what else it has."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head
        two = {"bbox_ctrness": True} if hasattr(self.head.regression_head, "bbox_ctrness") else {}
        self.outputs = ("cls_logits", "bbox_regression", *two)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """In the order of ``outputs``."""
        found = self.head(_maps(self.backbone(x)))
        return tuple(found[name] for name in self.outputs)


class ProposalScores(nn.Module):
    """[N, 3, H, W] to the first stage: for each map of features objectness and offsets of boxes."""

    def __init__(self, detector: Any, maps: int) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.rpn.head
        self.outputs = tuple(f"{kind}_{number}" for kind in ("objectness", "bbox_deltas") for number in range(maps))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """In the order of ``outputs``."""
        objectness, deltas = self.head(_maps(self.backbone(x)))
        return (*objectness, *deltas)


def _maps(features: Any) -> list[torch.Tensor]:
    return list(features.values()) if isinstance(features, dict) else [features]


def as_tensors(model: nn.Module) -> nn.Module:
    """The module to export; one with ``outputs``, their names, where it is no classifier.

    Raises:
        OnnxqError: it is a detector of another kind.
    """
    if hasattr(model, "roi_heads"):
        with torch.no_grad():
            maps = len(_maps(model.eval().backbone(torch.zeros(1, 3, 64, 64))))  # type: ignore[operator]
        return ProposalScores(model, maps)
    if hasattr(model, "head") and hasattr(model, "anchor_generator"):
        return AnchorScores(model)
    if hasattr(model, "backbone") and hasattr(model, "classifier"):
        return PixelScores(model)
    raise OnnxqError(f"torchvision's {type(model).__name__} is none of the networks that can be exported")


def implied(model: Any, preset: Any) -> Preprocessing:
    """Of a detector what its own transform says, of a segmentation network that of its weights: sizes are stretched."""
    if hasattr(model, "transform"):
        own = model.transform
        side = own.fixed_size[0] if own.fixed_size else own.min_size[0]
        mean, std = own.image_mean, own.image_std
    else:
        side, mean, std = preset.resize_size[0], preset.mean, preset.std
    size = (int(side), int(side))
    return Preprocessing((3, *size), size, None, tuple(mean), tuple(std), fit="stretch")
