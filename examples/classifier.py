"""Any ONNX classifier to 4-bit weights and 8-bit activations on ONNX Runtime's integer kernels.

    python classifier.py net.onnx pictures net.w4a8.onnx [--preset timm]

Pictures lie in class folders, or without labels in one: then what is reported is how often the first class is the same.
"""

from __future__ import annotations

import argparse

import onnxq
from onnxq.data.presets import PRESETS
from onnxq.graph.model_files import metadata


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures")
    parser.add_argument("output")
    parser.add_argument("--preset", choices=PRESETS)
    given = parser.parse_args()
    said = onnxq.Preprocessing.from_metadata(metadata(onnxq.load_model(given.model)))
    preprocessing = PRESETS[given.preset] if given.preset else said
    if preprocessing is None:
        parser.error("the model does not say how to preprocess pictures: --preset")
    dataset = onnxq.open_dataset(given.pictures, "calib")
    seen = onnxq.Loader(dataset, preprocessing, onnxq.choose(len(dataset), 256))
    recipe = onnxq.Recipe.of(target="onnxruntime", weight_bits=4, act_bits=8)
    result = onnxq.quantize(given.model, None, recipe, images=seen.images)
    onnxq.save_model(result.model, given.output)
    print(f"{100 * result.share:.1f} % of the weights, {result.float_bytes / 1e6:.2f} MB before")
    for note in result.notes:
        print("note:", note)
    test = onnxq.Loader(dataset, preprocessing, range(len(dataset)))
    metrics = ["agreement"] + (["classification"] if dataset.class_count else [])
    for found in onnxq.evaluate([given.model, given.output], test, metrics=metrics):
        print(found.path.name, {name: round(value, 2) for name, value in found.values.items()}, f"{found.size} bytes")


if __name__ == "__main__":
    main()
