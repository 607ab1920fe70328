"""Real networks on real CIFAR images: accuracy against the published recipe's. Skips where the testbed is absent."""

from __future__ import annotations

import onnx
import pytest
from helpers import exact_session
from testbed_files import PLAIN, loader, quantize_all

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.library import find_library


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


@pytest.mark.slow
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
