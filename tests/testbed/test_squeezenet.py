"""SqueezeNet on ImageNet images, and weights of real networks. Skips where the testbed is absent."""

from __future__ import annotations

import pytest
from helpers import code_weight
from testbed_files import PLAIN, loader, quantize_all

import onnxq
from onnxq.graph.analysis import layers_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import load_model
from onnxq.graph.normalize import normalize
from onnxq.recipe import Recipe


def test_squeezenet(testbed, tmp_path):
    model = testbed / "models" / "squeezenet1_0.onnx"
    classes = testbed / "imagenet500_classes.txt"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "imagenet500", "calib", 32, classes)))
    recipes = [Recipe.of("minmax", **PLAIN), Recipe.of("aciq-laplace", **PLAIN), Recipe.of(act_bits=8)]
    paths = quantize_all(model, statistics, recipes, tmp_path)
    results = onnxq.evaluate(paths, loader(testbed, model, "imagenet500", "test", 60, classes))
    float32, minmax, aciq, w4a8 = [result.top1 for result in results]
    assert float32 == pytest.approx(60.6, abs=10)
    assert aciq >= minmax + 5
    assert w4a8 >= 45, "published: 51 on all images"


@pytest.mark.parametrize("name", ["resnet20_cifar10", "squeezenet1_0"])
def test_additive_powers_of_two_are_nearer_than_the_full_range(testbed, name):
    """Of every Conv weight taken as a whole; per channel on average (not in all: the uniform grid has a level more)."""
    graph = to_graph(load_model(testbed / "models" / f"{name}.onnx"))
    normalize(graph)
    weights = [layer.weight for layer in layers_of(graph) if layer.op == "Conv"]
    for granularity in ("per-tensor", "per-channel"):
        for bits in (3, 4):
            ratios = []
            for weight in weights:
                error = [
                    ((code_weight(weight, bits, recipe, allocate=False).dequantized() - weight) ** 2).mean()
                    for recipe in (
                        Recipe.of("minmax", weights=grid, weight_granularity=granularity, weight_correction="none")
                        for grid in ("apot", "uniform")
                    )
                ]
                ratios.append(error[0] / error[1])
            if granularity == "per-tensor":
                assert max(ratios) < 1
            assert sum(ratios) / len(ratios) < (0.5 if granularity == "per-tensor" else 0.95)
