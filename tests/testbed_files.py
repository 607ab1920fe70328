"""What tests on real networks share: their images, and quantizing a network by several recipes."""

from __future__ import annotations

import onnx

import onnxq
from onnxq.data.loader import choose
from onnxq.graph.model_files import load_model, metadata, save_model

PLAIN = {"bit_alloc": "none", "weight_correction": "none", "bias_correction": "none"}


def loader(testbed, model, data, purpose, count=None, classes=None):
    preprocessing = onnxq.Preprocessing.from_metadata(metadata(load_model(model)))
    dataset = onnxq.open_dataset(str(testbed / data), purpose, classes)
    return onnxq.Loader(dataset, preprocessing, choose(len(dataset), count))


def quantize_all(model, statistics, recipes, folder):
    paths = [model]
    for number, recipe in enumerate(recipes):
        paths.append(folder / f"{number}.onnx")
        save_model(onnxq.quantize(model, statistics, recipe).model, paths[-1])
        onnx.checker.check_model(onnx.load(paths[-1]), full_check=True)
    return paths
