"""Learn the parameters of a quantized network from what the float one makes of images. A part of ``reconstruction``.

All layers are learnt together, each one compared with its own in the float network, as blocks are in BRECQ (Li et al.,
ICLR 2021, arXiv 2102.05426), and so is the output.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxq.reconstruction.network import TorchNetwork

Float32 = NDArray[np.float32]
SCALE_RATE, GAIN_RATE, BIAS_RATE = 3e-3, 1e-3, 3e-3  # of Adam; biases in norms of the weight's rows
LOOKS = 10  # at the images that judge, in all
PATIENCE = 5  # looks that may pass without a better one
TRIALS = 2  # iterations that tell how long one takes


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
class Comparison:
    """The float network and the quantized one, and what is compared: names of tensors of the one and of the other.

    Attributes:
        layers: what layers make. outputs: of the network.
    """

    exact: TorchNetwork
    quantized: TorchNetwork
    layers: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]

    def errors(self, x: Tensor) -> Tensor:
        """Squared error of each layer, and behind them the mean one of the outputs, by the variance; [layers + 1]."""
        pairs = (*self.layers, *self.outputs)
        with torch.no_grad():
            wanted = self.exact(x, {first for first, _ in pairs})
        made = self.quantized(x, {second for _, second in pairs})
        errors = torch.stack([_relative(wanted[first], made[second]) for first, second in pairs])
        count = len(self.layers)
        return torch.cat([errors[:count], errors[count:].mean(dim=0, keepdim=True)])

    def loss(self, x: Tensor) -> Tensor:
        """The mean error of the layers plus that of the output."""
        errors = self.errors(x)
        return errors[:-1].mean() + errors[-1]


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
    compared: Comparison,
    learning: Float32,
    judging: Float32,
    schedule: Schedule,
    device: str,
    progress: Callable[[float], None],
) -> Outcome:
    """Learn from images [N, ...] until others do not get better; the best parameters remain.

    Args:
        progress: called with the share that is done.
    """
    torch.manual_seed(schedule.seed)
    network = compared.quantized
    optimizer = torch.optim.Adam(_groups(network))
    rates = [group["lr"] for group in optimizer.param_groups]
    before = _judged(compared, judging, schedule.images, device)
    best, kept, patience = before, _copied(network), PATIENCE
    begun, total, done = time.monotonic(), schedule.iterations, 0
    for x in _batches(learning, schedule):
        if done == TRIALS:  # a share of the time goes to looks
            total = min(total, int(schedule.seconds / (1.3 * (time.monotonic() - begun) / TRIALS)))
        if done >= total or time.monotonic() - begun > schedule.seconds:
            break
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + np.cos(np.pi * done / total)) / 2
        optimizer.zero_grad()
        compared.loss(torch.from_numpy(x).to(device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        done += 1
        progress(done / total)
        if done % max(total // LOOKS, 1) == 0:
            errors = _judged(compared, judging, schedule.images, device)
            if _loss(errors) < _loss(best):
                best, kept, patience = errors, _copied(network), PATIENCE
            else:
                patience -= 1
            if not patience:
                break
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), kept, strict=True):
            parameter.copy_(values)
    progress(1.0)
    return Outcome(before, best, done)


def _copied(network: TorchNetwork) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def _loss(errors: Sequence[float]) -> float:
    return float(np.mean(errors[:-1])) + errors[-1]


def _groups(network: TorchNetwork) -> list[dict[str, Any]]:
    """Parameters with their learning rates."""
    groups: list[dict[str, Any]] = [
        {"params": list(dict.fromkeys(each.stretch for each in network.quantizers.values())), "lr": SCALE_RATE},
        {"params": [layer.gain for layer in network.layers.values()], "lr": GAIN_RATE},
    ]
    for layer in network.layers.values():
        if layer.bias is not None:
            size = float(layer.weight.flatten(1).norm(dim=1).mean())
            groups.append({"params": [layer.bias], "lr": BIAS_RATE * size})
    for group in groups:
        group["params"] = [each for each in group["params"] if each.requires_grad and each.numel()]
    return [group for group in groups if group["params"]]


def _batches(images: Float32, schedule: Schedule) -> Iterator[Float32]:
    """Batches without an end: all images in an order of their own, again and again."""
    random = np.random.default_rng(schedule.seed)
    size = min(schedule.images, len(images))
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(images) - size + 1, size):
            yield images[np.sort(order[start : start + size])]


def _judged(compared: Comparison, images: Float32, size: int, device: str) -> list[float]:
    """Mean errors on these images."""
    with torch.no_grad():
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        errors = [compared.errors(torch.from_numpy(part).to(device)) * len(part) for part in parts]
        return [float(value) for value in torch.stack(errors).sum(dim=0) / len(images)]


def _relative(wanted: Tensor, made: Tensor) -> Tensor:
    """Squared error by the variance."""
    spread = torch.square(wanted - wanted.mean()).mean()
    return torch.square(made - wanted).mean() / torch.clamp(spread, min=1e-12)
