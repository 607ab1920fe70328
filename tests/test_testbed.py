"""Real networks on real images: accuracy against the published recipe's. Skips where the testbed is absent."""

from __future__ import annotations

import onnx
import pytest

import onnxq
from onnxq.files import load_model, metadata, save_model
from onnxq.loader import choose
from onnxq.recipe import Recipe
from onnxq.runtime import find_library

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
        Recipe("minmax", **PLAIN),
        Recipe("aciq-laplace", **PLAIN),
        Recipe("minmax", act_granularity="per-tensor", **PLAIN),
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
    from onnxq.runtime import make_session

    batch = next(iter(loader(testbed, resnet20[0], "cifar10/test", "test", 64)))
    for path in resnet20[1:]:
        with_library, without = (
            make_session(path, native=native).run(None, {"input": batch.images})[0] for native in (True, False)
        )
        assert (with_library == without).all()


def test_resnet56_file_size(testbed, tmp_path):
    model = testbed / "models" / "resnet56_cifar10.onnx"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "cifar10/calib", "calib", 32)))
    _, quantized = quantize_all(model, statistics, [Recipe(**PLAIN)], tmp_path)
    assert quantized.stat().st_size <= 0.16 * model.stat().st_size


def test_the_defaults_reach_what_the_published_recipe_does(testbed, tmp_path):
    """W4A4, W3A3, W2A4, W4A8 of ResNet-20: 91.6, 87.3, 74.8, 91.8."""
    model = testbed / "models" / "resnet20_cifar10.onnx"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "cifar10/calib", "calib", 256)))
    widths = [(4, 4), (3, 3), (2, 4), (4, 8)]
    recipes = [Recipe(weight_bits=weight_bits, act_bits=act_bits) for weight_bits, act_bits in widths]
    paths = quantize_all(model, statistics, recipes, tmp_path)[1:]
    top1 = [result.top1 for result in onnxq.evaluate(paths, loader(testbed, model, "cifar10/test", "test"))]
    assert all(got >= want for got, want in zip(top1, [91.6, 87.3, 74.8, 91.8], strict=True)), top1


def test_squeezenet(testbed, tmp_path):
    model = testbed / "models" / "squeezenet1_0.onnx"
    classes = testbed / "imagenet500_classes.txt"
    statistics = onnxq.calibrate(model, (b.images for b in loader(testbed, model, "imagenet500", "calib", 64, classes)))
    recipes = [Recipe("minmax", **PLAIN), Recipe("aciq-laplace", **PLAIN), Recipe(), Recipe(act_bits=8)]
    paths = quantize_all(model, statistics, recipes, tmp_path)
    results = onnxq.evaluate(paths, loader(testbed, model, "imagenet500", "test", None, classes))
    float32, minmax, aciq, w4a4, w4a8 = [result.top1 for result in results]
    assert float32 == pytest.approx(60.6, abs=0.5)
    assert aciq >= minmax + 5
    assert w4a4 >= 27.7, "published, with bit allocation and bias correction"
    assert w4a8 >= 51.0
