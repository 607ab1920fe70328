"""Fixed point on a real network and real images. Skips where the testbed is absent."""

from __future__ import annotations

import pytest
from testbed_files import loader, quantize_all

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.library import find_library


@pytest.mark.slow
def test_fixed_point(testbed, tmp_path):
    """16 bits within 0.3 points of float, 12 within 1; 8 bits per channel within 2; bit-true collapses towards 8 bits."""
    model = testbed / "models" / "resnet20_cifar10.onnx"
    images = [batch.images for batch in loader(testbed, model, "cifar10/calib", "calib", 256)]
    statistics = onnxq.calibrate(model, images, points="every-op")
    per_tensor = {"act_granularity": "per-tensor", "weight_granularity": "per-tensor"}
    cases = [(16, per_tensor), (12, per_tensor), (8, {})]
    recipes = [
        Recipe.of("fixed-point", act_bits=bits, weight_bits=bits, placement="every-op", **fields)
        for bits, fields in cases
    ]
    paths = quantize_all(model, statistics, recipes, tmp_path)
    top1 = [r.top1 for r in onnxq.evaluate(paths, loader(testbed, model, "cifar10/test", "test"))]
    for got, tolerance in zip(top1[1:], (0.3, 1, 2), strict=True):
        assert got >= top1[0] - tolerance
    if find_library() is not None:
        recipe = Recipe.of("fixed-point", act_bits=8, weight_bits=8, placement="every-op", bit_true=True, **per_tensor)
        save_model(onnxq.quantize(model, statistics, recipe).model, tmp_path / "true.onnx")
        some = loader(testbed, model, "cifar10/test", "test", 100)
        true, exact = onnxq.evaluate([tmp_path / "true.onnx", paths[-1]], some)
        assert true.top1 <= exact.top1 - 2
