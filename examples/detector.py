"""A detector at 8 bits: how far each output is, which layers are to blame, and again with these in float.

python detector.py detector.onnx pictures detector.w8a8.onnx [--preset yolo] [--worst 2]
"""

from __future__ import annotations

import argparse
from typing import Any

import onnxq
from onnxq.data.presets import PRESETS
from onnxq.graph.model_files import input_shape, metadata

LAYERS = ("Conv", "Gemm", "MatMul")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures")
    parser.add_argument("output")
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--worst", type=int, default=2, help="layers to leave in float the second time")
    given = parser.parse_args()
    network = onnxq.load_model(given.model)
    said = onnxq.Preprocessing.from_metadata(metadata(network))
    preprocessing = PRESETS[given.preset].for_shape(input_shape(network)) if given.preset else said
    if preprocessing is None:
        parser.error("the model does not say how to preprocess pictures: --preset")
    dataset = onnxq.open_dataset(given.pictures, "calib")
    fixed = input_shape(network)[0]
    pictures = onnxq.Loader(dataset, preprocessing, onnxq.choose(len(dataset), 64), batch_size=fixed or 8).images
    recipe: dict[str, Any] = {"target": "onnxruntime", "weight_bits": 8, "act_bits": 8}
    worst: list[str] = []
    for left in ("all layers quantized", "the worst in float"):
        result = onnxq.quantize(network, None, onnxq.Recipe.of(**recipe, skip=worst), images=pictures)
        onnxq.save_model(result.model, given.output)
        (found,) = onnxq.compare(given.model, given.output, pictures, layers=True)
        print(f"{left}:", {output.name: f"{output.sqnr:.1f} dB" for output in found.outputs})
        worst = [tensor.layer for tensor in found.tensors if tensor.op in LAYERS][: given.worst]
        for tensor in found.tensors[:5]:
            print(f"  {tensor.name}, by {tensor.op} {tensor.layer}: {tensor.alone} dB alone. {tensor.reason}")


if __name__ == "__main__":
    main()
