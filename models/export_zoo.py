"""Export the networks of the published experiments, and a few more, with torchvision's weights.

    python models/export_zoo.py FOLDER [--weights none] [ARCH ...]

Writes FOLDER/ARCH.onnx for each; those that are there already are left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from onnxq.export.torchvision import export_model
from onnxq.graph.model_files import save_model

ZOO = (
    "alexnet", "inception_v3", "mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "squeezenet1_0", "squeezenet1_1", "vgg16", "vgg16_bn", "vgg19",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("archs", nargs="*", default=ZOO, metavar="ARCH")
    parser.add_argument("--weights", default="DEFAULT", choices=["DEFAULT", "none"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for arch in args.archs:
        path = args.folder / f"{arch}.onnx"
        if not path.exists():
            save_model(export_model(arch, weights=args.weights), path)
        print(path)


if __name__ == "__main__":
    main()
