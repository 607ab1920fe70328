"""Train a torchvision network on the demo data set and save its state dict.

    python models/train_demo.py mobilenet_v2 --epochs 16 -o demo_mobilenet_v2.pt
    onnxq export mobilenet_v2 --weights demo_mobilenet_v2.pt --num-classes 60 --size 64 --preset demo \\
        -o models/demo_mobilenet_v2.onnx

Runs on a GPU where there is one. A seed fixes the data, the initial weights and the
order; arithmetic differs between machines, so accuracy repeats to about half a point.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision

from onnxq.data.demo import drawings as demo

MEAN, STD = 0.45, 0.25  # the preset "demo" of `onnxq export`


def images(split: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (uint8 [count, 3, 64, 64] channels last, int64 labels [count])."""
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(partial(demo.render, split), range(count), chunksize=256))
    pixels = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2)
    return pixels, torch.tensor([demo.label(split, index) for index in range(count)])


def augment(batch: torch.Tensor) -> torch.Tensor:
    """One of the eight symmetries of the square: classes do not depend on it."""
    if torch.rand(()) < 0.5:
        batch = batch.flip(3)
    return torch.rot90(batch, int(torch.randint(4, ())), (2, 3))


def normalise(batch: torch.Tensor, device: str) -> torch.Tensor:
    scaled = (batch.to(device).float() / 255 - MEAN) / STD
    return scaled.contiguous(memory_format=torch.channels_last)


def top1(model: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor, device: str) -> float:
    """Accuracy in percent."""
    model.eval()
    with torch.no_grad():
        hits = [
            (model(normalise(x, device)).argmax(1).cpu() == y).sum().item()
            for x, y in zip(torch.split(pixels, 250), torch.split(labels, 250), strict=True)
        ]
    return 100 * sum(hits) / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch", help="a torchvision classification model")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate of AdamW")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    pixels, labels = images("train", args.images)
    test_pixels, test_labels = images("test", 1_000)

    model = torchvision.models.get_model(args.arch, weights=None, num_classes=len(demo.CLASSES))
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    steps = args.epochs * (args.images // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.15)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(args.epochs):
        started, total = time.time(), 0.0
        model.train()
        order = torch.randperm(args.images)[: args.images // args.batch * args.batch]
        for index in torch.split(order, args.batch):
            with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
                loss = loss_of(model(normalise(augment(pixels[index]), device)), labels[index].to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        accuracy = top1(model, test_pixels, test_labels, device)
        seconds = time.time() - started
        print(
            f"epoch {epoch + 1}: loss {total / len(order) * args.batch:.3f} top1 {accuracy:.2f} ({seconds:.0f} s)",
            flush=True,
        )
        torch.save({name: value.cpu() for name, value in model.state_dict().items()}, args.out)


if __name__ == "__main__":
    main()
