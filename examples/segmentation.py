"""torchvision's LR-ASPP with 4-bit weights: on how many pixels it still sees the same class.

python segmentation.py pictures lraspp.w4a8.onnx [--weights none] [--size 256]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import onnxq
from onnxq.evaluation import METRICS, Metric
from onnxq.graph.model_files import metadata


@METRICS.register("same-pixels")
@dataclass
class SamePixels(Metric):
    """Of all pixels, in percent, those whose class is that of the first file."""

    columns: ClassVar = {"same": ".2f"}
    compares: ClassVar = True

    pixels: int = 0
    equal: int = 0

    def update(self, outputs: Any, reference: Any, target: Any) -> None:
        same = outputs[0].argmax(axis=1) == reference[0].argmax(axis=1)
        self.pixels += same.size
        self.equal += int(same.sum())

    def result(self) -> dict[str, float]:
        return {"same": 100 * self.equal / max(self.pixels, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures")
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--size", type=int)
    given = parser.parse_args()
    network = onnxq.export_model("lraspp_mobilenet_v3_large", weights=given.weights, size=given.size)
    before = given.output.with_suffix(".float.onnx")
    onnxq.save_model(network, before)
    preprocessing = onnxq.Preprocessing.from_metadata(metadata(network))
    assert preprocessing is not None  # export wrote it
    pictures = onnxq.open_dataset(given.pictures, "calib")
    loader = onnxq.Loader(pictures, preprocessing, onnxq.choose(len(pictures), 64), batch_size=4)
    recipe = onnxq.Recipe.of(target="onnxruntime", weight_bits=4, act_bits=8)
    onnxq.save_model(onnxq.quantize(network, None, recipe, images=loader.images).model, given.output)
    for found in onnxq.evaluate([before, given.output], loader, metrics=["same-pixels", "distance"]):
        print(found.path.name, found.values, f"{found.size} bytes")


if __name__ == "__main__":
    main()
