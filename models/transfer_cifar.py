"""Train the last layer, then all, of a torchvision network on CIFAR: the networks that the fixed-point system names.

    python models/transfer_cifar.py resnet50_cifar10 --data cifar10:cifar-10-batches-py -o resnet50_cifar10.pt
    onnxq export resnet50_cifar10 --weights resnet50_cifar10.pt -o resnet50_cifar10.onnx
    onnxq eval resnet50_cifar10.onnx --data cifar10:cifar-10-batches-py

Images are resized to 224 x 224 pixels and normalized as those of ImageNet, so that its weights fit (``--weights``:
torchvision's, a state dict of 1,000 classes, or none). 30 epochs of SGD along half a cosine, of which ``--frozen``
train the last layer alone. ``--data`` takes whatever `onnxq eval` takes; an image folder for training needs another
one for ``--test``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

from onnxq.core.files import check_output, replacing
from onnxq.data.datasets import open_dataset
from onnxq.data.loader import Loader
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.export.state import load_state
from onnxq.export.torchvision import published_name


def network(arch: str, weights: str, classes: int) -> tuple[nn.Module, nn.Module]:
    """A network with a last layer of its own, and that layer."""
    chosen = torchvision.models.get_model_weights(arch).DEFAULT if weights == "DEFAULT" else None
    model = torchvision.models.get_model(arch, weights=chosen)
    if weights not in ("DEFAULT", "none"):
        model.load_state_dict(load_state(Path(weights)))
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    name, old = named[-1]
    parent, _, own = name.rpartition(".")
    if isinstance(old, nn.Linear):
        last: nn.Module = nn.Linear(old.in_features, classes)
    else:
        last = nn.Conv2d(old.in_channels, classes, kernel_size=1)  # of SqueezeNet
        model.num_classes = classes
    setattr(model.get_submodule(parent), own, last)
    return model, last


def top1(model: nn.Module, loader: Loader, device: str) -> float:
    """Accuracy in percent."""
    model.eval()
    hits = 0
    with torch.no_grad():
        for batch in loader:
            scores = model(torch.from_numpy(batch.images).to(device))
            hits += int((scores.argmax(dim=1).cpu().numpy() == batch.labels).sum())
    return 100 * hits / len(loader)


def train_epoch(model: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer, device: str) -> float:
    """One pass, mirrored at random; the mean loss."""
    model.train()
    total = 0.0
    for batch in loader:
        images, labels = torch.from_numpy(batch.images).to(device), torch.from_numpy(batch.labels).to(device)
        flipped = torch.rand(len(images), device=device) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(images)
    return total / len(loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="like resnet50_cifar10, squeezenet_v1_cifar100")
    parser.add_argument("--data", required=True, help="training images, like cifar10:DIR")
    parser.add_argument("--test", help="test images, where they are not those of --data")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--weights", default="DEFAULT", help="DEFAULT, none, or a state dict")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--frozen", type=int, default=2, help="epochs for the last layer alone")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--images", type=int, help="so many of the training images, for a try")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        run(args)
    except OnnxqError as error:
        parser.exit(1, f"error: {error}\n")


def run(args: argparse.Namespace) -> None:
    """Train, and save after each epoch."""
    check_output(args.out)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)
    arch, classes, _ = published_name(args.name, None, None)
    if classes is None or arch not in torchvision.models.list_models(module=torchvision.models):
        raise OnnxqError(f"{args.name}: a network for CIFAR is called like resnet50_cifar10")
    data, test = open_dataset(args.data, "calib"), open_dataset(args.test or args.data, "test")
    model, last = network(arch, args.weights, classes)
    model.to(device)
    preprocessing = Preprocessing((3, args.size, args.size), resize=args.size, crop=args.size)
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    tested = Loader(test, preprocessing, range(min(len(test), args.images or len(test))), args.batch)
    for epoch in range(args.epochs):
        started = time.time()
        for parameter in model.parameters():
            parameter.requires_grad = epoch >= args.frozen
        for parameter in last.parameters():
            parameter.requires_grad = True
        order = random.permutation(len(data))[: args.images].tolist()
        loss = train_epoch(model, Loader(data, preprocessing, order, args.batch), optimizer, device)
        schedule.step()
        accuracy = top1(model, tested, device)
        print(f"epoch {epoch + 1}: loss {loss:.3f} top-1 {accuracy:.2f} ({time.time() - started:.0f} s)", flush=True)
        with replacing(args.out) as temporary:
            torch.save({name: value.cpu() for name, value in model.state_dict().items()}, temporary)


if __name__ == "__main__":
    main()
