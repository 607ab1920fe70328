"""The float network beside the quantized one: errors of each layer. A part of ``reconstruction``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from onnxq.reconstruction.network import TorchNetwork

Pairs = tuple[tuple[str, str], ...]
SMALLEST = 1e-12  # probability
SCORES_RANK, SUM_TOLERANCE = 2, 1e-3


@dataclass(frozen=True)
class Comparison:
    """Two networks, and what is compared: names of tensors of the one and of the other.

    Attributes:
        layers: what layers make. outputs: of the network.
        weights: float32 [layers + outputs], of squared errors: one by the variance in the float network, or 0.
        logits, probabilities: names of outputs of the float network that are scores of classes, [N, K].
    """

    exact: TorchNetwork
    quantized: TorchNetwork
    layers: Pairs
    outputs: Pairs
    weights: Tensor
    logits: frozenset[str]
    probabilities: frozenset[str]

    @staticmethod
    def of(exact: TorchNetwork, quantized: TorchNetwork, layers: Pairs, outputs: Pairs, images: Tensor) -> Comparison:
        """With the variances on these images, [N, ...]."""
        names = [first for first, _ in (*layers, *outputs)]
        with torch.no_grad():
            made = exact(images, set(names))
            variances = torch.stack([_variance(made[name]) for name in names])
        usable = torch.isfinite(variances) & (variances > 0)
        weights = torch.where(usable, 1 / torch.where(usable, variances, 1), 0)
        scores = {name for name, _ in outputs if made[name].ndim == SCORES_RANK and made[name].shape[1] > 1}
        positive = {name for name in scores if bool((made[name] >= 0).all())}
        sums = {name for name in positive if bool((made[name].sum(dim=1) - 1).abs().max() < SUM_TOLERANCE)}
        # positive numbers of another sum: each class by itself, as behind a sigmoid
        return Comparison(exact, quantized, layers, outputs, weights, frozenset(scores - positive), frozenset(sums))

    def losses(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The relative squared error, mean over layers; and what outputs differ by.

        That of an output is its relative squared error, and the Kullback-Leibler divergence where it is scores of
        classes: which of them is the highest, squares do not tell.
        """
        pairs = (*self.layers, *self.outputs)
        with torch.no_grad():
            wanted = self.exact(x, {first for first, _ in pairs})
        made = self.quantized(x, {second for _, second in pairs})
        squares = torch.stack([torch.square(made[second] - wanted[first]).mean() for first, second in pairs])
        errors, count = squares * self.weights, len(self.layers)
        of_outputs = errors[count:].mean()
        for first, second in self.outputs:
            if first in self.logits or first in self.probabilities:
                divergence = _divergence(wanted[first], made[second], are_logits=first in self.logits)
                of_outputs = of_outputs + divergence / len(self.outputs)
        return errors[:count].mean(), of_outputs


def _variance(made: Tensor) -> Tensor:
    """Over images, where there are several, mean over the values of each; else over all values."""
    return torch.square(made - (made.mean(dim=0) if len(made) > 1 else made.mean())).mean()


def _divergence(wanted: Tensor, made: Tensor, *, are_logits: bool) -> Tensor:
    """Of logits or probabilities [N, classes], mean over images."""
    if are_logits:
        logs = [torch.log_softmax(scores, dim=1) for scores in (made, wanted)]
    else:
        logs = [torch.log(torch.clamp(scores, min=SMALLEST)) for scores in (made, wanted)]
    return torch.nn.functional.kl_div(logs[0], logs[1], log_target=True, reduction="batchmean")
