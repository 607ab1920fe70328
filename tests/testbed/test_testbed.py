"""Real networks on real images: accuracy against the published recipe's. Skips where the testbed is absent."""

from __future__ import annotations

import onnx
import pytest
from helpers import code_weight, exact_session

import onnxq
from onnxq.data.loader import choose
from onnxq.graph.analysis import layers_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import load_model, metadata, save_model
from onnxq.graph.normalize import normalize
from onnxq.recipe import Recipe
from onnxq.runtime.library import find_library

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


@pytest.fixture(scope="module")
def resnet20(testbed, tmp_path_factory):
    model = testbed / "models" / "resnet20_cifar10.onnx"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "cifar10/calib", "calib", 256)))
    recipes = [
        Recipe.of("minmax", **PLAIN),
        Recipe.of("aciq-laplace", **PLAIN),
        Recipe.of("minmax", act_granularity="per-tensor", **PLAIN),
    ]
    return quantize_all(model, statistics, recipes, tmp_path_factory.mktemp("resnet20"))


def test_resnet20(testbed, resnet20):
    top1 = [r.top1 for r in onnxq.evaluate(resnet20, loader(testbed, resnet20[0], "cifar10/test", "test"))]
    assert top1[0] == pytest.approx(91.64, abs=0.11)
    assert top1[1] == pytest.approx(90.36, abs=1.5), "minmax, per-channel"
    assert top1[2] == pytest.approx(89.77, abs=1.5), "ACIQ-Laplace, per-channel"
    assert top1[3] == pytest.approx(86.53, abs=2.5), "minmax, per-tensor"


@pytest.mark.skipif(find_library() is None, reason="the native library was not built")
def test_the_library_changes_no_bit_of_the_logits(testbed, resnet20):
    from onnxq.runtime.sessions import make_session

    batch = next(iter(loader(testbed, resnet20[0], "cifar10/test", "test", 64)))
    for path in resnet20[1:]:
        with_library, without = (
            make_session(path, native=native).run(None, {"input": batch.images})[0] for native in (True, False)
        )
        assert (with_library == without).all()


def test_resnet56_file_size(testbed, tmp_path):
    model = testbed / "models" / "resnet56_cifar10.onnx"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "cifar10/calib", "calib", 32)))
    _, quantized = quantize_all(model, statistics, [Recipe.of(**PLAIN)], tmp_path)
    assert quantized.stat().st_size <= 0.16 * model.stat().st_size


def test_the_defaults_reach_what_the_published_recipe_does(testbed, tmp_path):
    """W4A4, W3A3, W2A4, W4A8 of ResNet-20: 91.6, 87.3, 74.8, 91.8."""
    model = testbed / "models" / "resnet20_cifar10.onnx"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "cifar10/calib", "calib", 256)))
    widths = [(4, 4), (3, 3), (2, 4), (4, 8)]
    recipes = [Recipe.of(weight_bits=weight_bits, act_bits=act_bits) for weight_bits, act_bits in widths]
    paths = quantize_all(model, statistics, recipes, tmp_path)[1:]
    top1 = [result.top1 for result in onnxq.evaluate(paths, loader(testbed, model, "cifar10/test", "test"))]
    assert all(got >= want for got, want in zip(top1, [91.6, 87.3, 74.8, 91.8], strict=True)), top1


def test_squeezenet(testbed, tmp_path):
    model = testbed / "models" / "squeezenet1_0.onnx"
    classes = testbed / "imagenet500_classes.txt"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "imagenet500", "calib", 64, classes)))
    recipes = [Recipe.of("minmax", **PLAIN), Recipe.of("aciq-laplace", **PLAIN), Recipe.of(act_bits=8)]
    paths = quantize_all(model, statistics, recipes, tmp_path)
    results = onnxq.evaluate(paths, loader(testbed, model, "imagenet500", "test", 100, classes))
    float32, minmax, aciq, w4a8 = [result.top1 for result in results]
    assert float32 == pytest.approx(60.6, abs=10)
    assert aciq >= minmax + 5
    assert w4a8 >= 45, "published: 51 on all images"


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
        some = loader(testbed, model, "cifar10/test", "test", 200)
        true, exact = onnxq.evaluate([tmp_path / "true.onnx", paths[-1]], some)
        assert true.top1 <= exact.top1 - 2


def test_percentile_renormalized(testbed, tmp_path):
    model = testbed / "models" / "resnet20_cifar10.onnx"
    images = [batch.images for batch in loader(testbed, model, "cifar10/calib", "calib", 256)]
    statistics = onnxq.calibrate(model, images)
    paths = []
    for bits in (4, 3):
        recipe = Recipe.of("percentile", act_bits=bits, weight_bits=bits, renormalize=True)
        paths.append(tmp_path / f"{bits}.onnx")
        save_model(onnxq.quantize(model, statistics, recipe, images=images).model, paths[-1])
    four, three = (r.top1 for r in onnxq.evaluate(paths, loader(testbed, model, "cifar10/test", "test")))
    assert four >= 90
    assert three >= 84


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


def test_integer_files_keep_the_accuracy(testbed, tmp_path):
    model = testbed / "models" / "resnet20_cifar10.onnx"
    batches = (b.images for b in loader(testbed, model, "cifar10/calib", "calib", 256))
    statistics = onnxq.calibrate(model, batches, points="integer")
    recipe = Recipe.of(act_bits=8, weight_bits=8, format="qdq", placement="integer")
    paths = quantize_all(model, statistics, [recipe], tmp_path)
    sessions = [exact_session(onnx.load(path)) for path in paths]
    hits, images = [0, 0], 0
    for batch in loader(testbed, model, "cifar10/test", "test", 300):
        logits = [session.run(None, {"input": batch.images})[0] for session in sessions]
        hits = [hit + (own.argmax(axis=1) == batch.labels).sum() for hit, own in zip(hits, logits, strict=True)]
        images += len(batch.labels)
    assert hits[1] >= hits[0] - 0.005 * images
