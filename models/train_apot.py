"""Train a ResNet-20 with APoT levels and trained thresholds on the demo data: a stand-in for published checkpoints.

    python models/train_apot.py --bits 3 -o res20_3bit/model_best.pth.tar
    onnxq import-apot res20_3bit/model_best.pth.tar --arch res20 --preset demo-32 -o res20.w3a3.onnx
    onnxq eval res20.w3a3.onnx --data demo

Under two minutes on two cores: 160 images of 32 x 32 pixels, which it learns by heart: a stand-in for the format and
the arithmetic, not for the accuracy. It writes what the published system writes:
parameters of the network with ``act_alpha`` and ``weight_quant.wgt_alpha`` beside each convolution. Li, Dong, Wang,
"Additive powers-of-two quantization" (ICLR 2020): weight normalization (section 2.3), gradients of thresholds (eq. 7).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from train_demo import MEAN, STD, images

from onnxq.core.files import replacing
from onnxq.data.demo import drawings as demo
from onnxq.export.apot.architectures import BLOCKS
from onnxq.export.apot.grids import GRIDS
from onnxq.export.cifar_resnet import CifarResNet

SHRINK = 2  # drawings of 64 x 64 pixels to 32 x 32
WEIGHT_START, ACTIVATION_START = 3.0, 3.0  # before training; the published 8.0 needs a float network to start from


def nearest(x: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """The level nearest to each value."""
    return levels[torch.bucketize(x.contiguous(), (levels[1:] + levels[:-1]) / 2)]


def clipped(x: torch.Tensor, threshold: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Values on levels up to a threshold; gradients pass rounding, and reach the threshold on both sides of it."""
    inside = (x / threshold).clamp(levels[0], levels[-1])
    return threshold * (inside + (nearest(inside.detach(), levels) - inside).detach())


class Threshold(nn.Module):
    """Holds the threshold of weights, where published files have it."""

    def __init__(self) -> None:
        super().__init__()
        self.wgt_alpha = nn.Parameter(torch.tensor(WEIGHT_START))


class QuantizedConv2d(nn.Conv2d):
    """A convolution of quantized inputs and normalized, quantized weights."""

    bits, grid = 4, "apot"  # of all of them

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.weight_quant = Threshold()
        self.act_alpha = nn.Parameter(torch.tensor(ACTIVATION_START))
        levels = GRIDS[self.grid].levels
        self.weight_levels = torch.from_numpy(levels(self.bits, signed=True))
        self.input_levels = torch.from_numpy(levels(self.bits, signed=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to [N, C', H', W']."""
        normalized = self.weight.add(-self.weight.detach().mean()).div(self.weight.detach().std())
        weight = clipped(normalized, self.weight_quant.wgt_alpha, self.weight_levels)
        return self._conv_forward(clipped(x, self.act_alpha, self.input_levels), weight, self.bias)


def on_end_grid(weight: torch.Tensor) -> torch.Tensor:
    """8-bit weights of the first and the last layer."""
    largest = weight.detach().max()
    return weight + (weight.div(largest).mul(127).round().div(127).mul(largest) - weight).detach()


class FirstConv2d(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, on_end_grid(self.weight), self.bias)


class LastLinear(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, on_end_grid(self.weight), self.bias)


def network(arch: str, bits: int, classes: int, grid: str = "apot") -> CifarResNet:
    """A CIFAR ResNet of quantized convolutions."""
    kind = type("QuantizedConv2d", (QuantizedConv2d,), {"bits": bits, "grid": grid})
    return CifarResNet(BLOCKS[arch], classes, convolution=kind, first=FirstConv2d, last=LastLinear)


def prepared(batch: torch.Tensor) -> torch.Tensor:
    """Pixels as the preset demo-32 has them."""
    small = nn.functional.avg_pool2d(batch.float(), SHRINK)
    return (small / 255 - MEAN) / STD


def train(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int, lr: float) -> None:
    """Adam along half a cosine; thresholds learn three times as fast as weights."""
    thresholds = [value for name, value in model.named_parameters() if name.endswith("alpha")]
    others = [value for name, value in model.named_parameters() if not name.endswith("alpha")]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": thresholds, "lr": 3 * lr}]
    optimizer = torch.optim.Adam(groups, lr)
    steps = epochs * (len(pixels) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for epoch in range(epochs):
        started, total = time.time(), 0.0
        order = torch.randperm(len(pixels))[: len(pixels) // batch * batch]
        for index in torch.split(order, batch):
            loss = nn.functional.cross_entropy(model(prepared(pixels[index])), labels[index])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        print(f"epoch {epoch + 1}: loss {total / len(order):.3f} ({time.time() - started:.0f} s)", flush=True)
    model.eval()
    with torch.no_grad():
        hits = (model(prepared(pixels)).argmax(dim=1) == labels).float().mean()
    print(f"top-1 on these images {100 * float(hits):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--arch", default="res20", choices=list(BLOCKS))
    parser.add_argument("--bits", type=int, default=4, choices=range(2, 9))
    parser.add_argument("--grid", default="apot", choices=list(GRIDS))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    pixels, labels = images("train", args.images)
    model = network(args.arch, args.bits, len(demo.CLASSES), args.grid)
    train(model, pixels, labels, args.epochs, args.batch, args.lr)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(args.out) as temporary:
        torch.save({"epoch": args.epochs, "state_dict": state}, temporary)


if __name__ == "__main__":
    main()
