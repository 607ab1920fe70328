"""What a checkpoint of the published APoT system says: weights, trained thresholds, and from its path the bits.

Nothing in the file is executed. A part of ``export.apot``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from onnxq.errors import OnnxqError
from onnxq.export.state import load_state

ACTIVATION = ".act_alpha"
WEIGHT = (".weight_quant.wgt_alpha", ".weight_alpha")  # of the networks for CIFAR-10, and for ImageNet


@dataclass(frozen=True)
class Thresholds:
    """The trained clipping thresholds of a convolution.

    Attributes:
        weight: in standard deviations of the layer's weights. activation: in the units of its input.
    """

    weight: float
    activation: float


@dataclass(frozen=True)
class Checkpoint:
    """A trained network.

    Attributes:
        state: the parameters of the float network. thresholds: by name of the convolution.
    """

    state: dict[str, torch.Tensor]
    thresholds: dict[str, Thresholds]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        OnnxqError: it is none, a threshold is missing or no positive number, or a parameter is not finite.
    """
    state = load_state(path)
    activations = {name.removesuffix(ACTIVATION): value for name, value in state.items() if name.endswith(ACTIVATION)}
    if not activations:
        raise OnnxqError(f"{path}: no trained thresholds (act_alpha): not a checkpoint of the published APoT system")
    thresholds = {}
    for name, activation in activations.items():
        found = [state[name + suffix] for suffix in WEIGHT if name + suffix in state]
        if not found:
            raise OnnxqError(f"{path}: layer {name} has no threshold of its weights ({' or '.join(WEIGHT)})")
        thresholds[name] = Thresholds(*(_positive(value, f"{path}: layer {name}") for value in (found[0], activation)))
    own = {name: value for name, value in state.items() if not name.endswith((ACTIVATION, *WEIGHT))}
    for name in state.keys() - own.keys():
        if not name.startswith(tuple(f"{layer}." for layer in thresholds)):
            raise OnnxqError(f"{path}: {name} is of a layer without a threshold of its inputs ({ACTIVATION})")
    for name, value in own.items():
        if not torch.isfinite(value).all():
            raise OnnxqError(f"{path}: {name} has NaN or infinite values")
        if name.endswith("running_var") and bool((value < 0).any()):
            raise OnnxqError(f"{path}: {name} has negative variances")
    return Checkpoint(own, thresholds)


def _positive(value: torch.Tensor, what: str) -> float:
    number = float(value.float()) if value.numel() == 1 else math.nan
    if not (math.isfinite(number) and number > 0):
        raise OnnxqError(f"{what}: its threshold must be a positive number, not {number:g}")
    return number


def bits_in(path: Path) -> int | None:
    """The bits that a path names, as the published files do: res20_3bit/model_best.pth.tar.

    >>> bits_in(Path("result/res20_3bit/model_best.pth.tar"))
    3
    """
    found = re.findall(r"(\d+)bit", str(path))
    return int(found[-1]) if found else None
