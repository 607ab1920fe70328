"""Learn the parameters of a quantized network from what the float one makes of images. A part of ``reconstruction``.

All layers are learnt together, each one compared with its own in the float network, as blocks are in BRECQ (Li et al.,
ICLR 2021, arXiv 2102.05426), and so is the output.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxq.reconstruction.comparison import Comparison
from onnxq.reconstruction.network import TorchNetwork

Float32 = NDArray[np.float32]
Index = NDArray[np.int64]
SCALE_RATE, GAIN_RATE, BIAS_RATE = 3e-3, 1e-3, 3e-3  # of Adam; biases in norms of the weight's rows
LOOKS = 10  # at the images that judge, in all
PATIENCE = 5  # looks that may pass without a better one
TRIALS = 2  # iterations, the last of which tells how long one takes


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
class Pictures:
    """Images float32 [N, ...], and which of them teach and which judge."""

    images: Float32
    learning: Index
    judging: Index

    def without_end(self, size: int, seed: int) -> Iterator[Float32]:
        """Batches to learn from: all in an order of their own, again and again; what does not fill one is left out."""
        random = np.random.default_rng(seed)
        while True:
            order = random.permutation(self.learning)
            for start in range(0, len(order) - size + 1, size):
                yield self.images[np.sort(order[start : start + size])]

    def judges(self, size: int) -> Iterator[Float32]:
        """Batches to judge by."""
        for start in range(0, len(self.judging), size):
            yield self.images[self.judging[start : start + size]]


@dataclass(frozen=True)
class Outcome:
    """What learning came to.

    Attributes:
        before, after: errors of each layer and of the output, on the images that judge. iterations: that were done.
    """

    before: list[float]
    after: list[float]
    iterations: int


def learn(
    compared: Comparison, pictures: Pictures, schedule: Schedule, device: str, progress: Callable[[float], None]
) -> Outcome:
    """Learn until images that judge get no better; the best parameters remain.

    Args:
        progress: called with the share that is done.
    """
    network, size = compared.quantized, min(schedule.images, len(pictures.learning))
    optimizer = torch.optim.Adam(_groups(network))
    rates = [group["lr"] for group in optimizer.param_groups]

    def look() -> list[float]:
        batches = [torch.from_numpy(images).to(device) for images in pictures.judges(size)]
        return compared.judged(batches)

    begun = time.monotonic()
    best = before = look()
    looking = time.monotonic() - begun
    kept, patience, total, done = _copied(network), PATIENCE, schedule.iterations, 0
    looks = _positions(total)
    for x in pictures.without_end(size, schedule.seed):
        started = time.monotonic()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * done / total)) / 2
        optimizer.zero_grad()
        loss = compared.loss(torch.from_numpy(x).to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        finite = math.isfinite(loss.item())
        done += 1
        now = time.monotonic()
        if done == TRIALS:
            left = schedule.seconds - (now - begun) - LOOKS * looking
            total = min(total, done + max(int(left / (now - started)), 0))
            looks = _positions(total)
        progress(done / total)
        ends = done >= total or not finite or now - begun > schedule.seconds
        if done in looks or ends:
            errors = look()
            if _loss(errors) < _loss(best):
                best, kept, patience = errors, _copied(network), PATIENCE
            else:
                patience -= 1
        if ends or not patience:
            break
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), kept, strict=True):
            parameter.copy_(values)
    progress(1.0)
    return Outcome(before, best, done)


def _positions(total: int) -> set[int]:
    """After which iterations to look, the last one among them."""
    return {math.ceil(total * (position + 1) / LOOKS) for position in range(LOOKS)}


def _copied(network: TorchNetwork) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def _loss(errors: Sequence[float]) -> float:
    """As ``Comparison.loss``; no number is the worst."""
    loss = float(np.mean(errors[:-1])) + errors[-1]
    return loss if math.isfinite(loss) else math.inf


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
        group["params"] = [each for each in group["params"] if each.requires_grad and each.numel()]
    return [group for group in groups if group["params"]]
