"""Learn the parameters of a quantized network from what the float one makes of images. A part of ``reconstruction``.

All layers are learnt together, each one compared with its own in the float network, as blocks are in BRECQ (Li et al.,
ICLR 2021, arXiv 2102.05426), and so is the output.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onnxq.reconstruction.comparison import Comparison
from onnxq.reconstruction.network import TorchNetwork

Float32 = NDArray[np.float32]
SCALE_RATE, GAIN_RATE, BIAS_RATE = 3e-3, 1e-3, 3e-3  # of Adam; biases in norms of the weight's rows
TRIALS = 2  # iterations, the last of which tells how long one takes
AVERAGED = 10  # iterations, whose mean loss is told


@dataclass(frozen=True)
class Schedule:
    """How long to learn.

    Attributes:
        iterations, seconds: at most. images: of one iteration. seed: of their order.
    """

    iterations: int
    seconds: float
    images: int
    seed: int


@dataclass(frozen=True)
class Losses:
    """Of each iteration: of layers, and of outputs (``Comparison.losses``)."""

    layers: tuple[float, ...]
    outputs: tuple[float, ...]

    def __str__(self) -> str:
        count = max(1, min(AVERAGED, len(self.layers) // 2))
        ends = [
            f"that of {name} from {np.mean(made[:count]):.3g} to {np.mean(made[-count:]):.3g}"
            for name, made in (("layers", self.layers), ("outputs", self.outputs))
            if made
        ]
        return ", ".join([f"{len(self.layers)} iterations", *ends])


def learn(
    compared: Comparison, images: Float32, schedule: Schedule, device: str, progress: Callable[[float], None]
) -> Losses:
    """Learn from images [N, ...]; returns the losses on the way.

    There is no look at images on the way: weights were rounded on these, and any change of scales undoes what that owes
    to them alone. Whether it helped, images tell that had no part in either.

    Args:
        progress: called with the share that is done.
    """
    optimizer = torch.optim.Adam(_groups(compared.quantized))
    rates = [group["lr"] for group in optimizer.param_groups]
    begun = started = time.monotonic()
    total = schedule.iterations
    found: list[list[float]] = []
    for x in _batches(images, schedule):
        done = len(found)
        if done == TRIALS:
            left = schedule.seconds - (time.monotonic() - begun)
            total = min(total, done + max(int(left / (time.monotonic() - started)), 0))
        if done >= total or time.monotonic() - begun > schedule.seconds:
            break
        started = time.monotonic()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * done / total)) / 2
        optimizer.zero_grad()
        losses = torch.stack(compared.losses(torch.from_numpy(x).to(device)))
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        told = losses.tolist()  # waits for the device
        if not all(map(math.isfinite, told)):
            break
        found.append(told)
        progress(len(found) / total)
    progress(1.0)
    return Losses(*map(tuple, zip(*found, strict=True))) if found else Losses((), ())


def _batches(images: Float32, schedule: Schedule) -> Iterator[Float32]:
    """Batches without an end: all images in an order of their own, again and again; what fills none is left out."""
    random = np.random.default_rng(schedule.seed)
    size = min(schedule.images, len(images))
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(order) - size + 1, size):
            yield images[np.sort(order[start : start + size])]


def _groups(network: TorchNetwork) -> list[dict[str, Any]]:
    """Parameters with their learning rates."""
    groups: list[dict[str, Any]] = [
        {"params": list(dict.fromkeys(each.log_factor for each in network.quantizers.values())), "lr": SCALE_RATE},
        {"params": [layer.log_gain for layer in network.layers.values()], "lr": GAIN_RATE},
    ]
    for layer in network.layers.values():
        if layer.bias is not None:
            size = float(layer.weight.flatten(1).norm(dim=1).mean())
            groups.append({"params": [layer.bias], "lr": BIAS_RATE * size})
    for group in groups:
        group["params"] = [each for each in group["params"] if each.numel()]
    return [group for group in groups if group["params"]]
