"""torchvision models to ONNX."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from helpers import run

import onnxq
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.export.small_stems import with_small_stem
from onnxq.export.torchvision import export_model
from onnxq.graph.model_files import metadata


def randomized(arch: str, classes: int) -> torch.nn.Module:
    """A network whose batch norms are not identities."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(arch, weights=None, num_classes=classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.eval()


@pytest.mark.parametrize(("arch", "size"), [("resnet18", 32)])
def test_the_file_computes_what_torch_computes(tmp_path, arch, size):
    model = randomized(arch, 10)
    state = tmp_path / "state.pt"
    torch.save(model.state_dict(), state)
    exported = export_model(arch, weights=str(state), classes=10, size=size)
    assert "BatchNormalization" not in {node.op_type for node in exported.graph.node}
    assert exported.opset_import[0].version == 21
    assert exported.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    x = np.random.default_rng(0).standard_normal((3, 3, size, size)).astype(np.float32)
    with torch.no_grad():
        want = model(torch.from_numpy(x)).numpy()
    got = run(exported, {"input": x}, native=False)[0]
    np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max())
    del exported.graph.initializer[:]
    for trace in ("site-packages", "stack_trace", ".py", str(tmp_path)):
        assert trace not in str(exported)


@pytest.mark.parametrize(
    ("arch", "classes"),
    [("mobilenet_v2", 10), ("squeezenet1_1", 100)],
)
@pytest.mark.slow
def test_cifar_networks(tmp_path, arch, classes):
    """At 32 x 32 pixels with the small stem, random weights."""
    torch.manual_seed(1)
    model = with_small_stem(torchvision.models.get_model(arch, weights=None, num_classes=classes), arch).eval()
    state = tmp_path / "state.pt"
    torch.save(model.state_dict(), state)
    cifar = Preprocessing((3, 32, 32), resize=None, crop=None)
    exported = export_model(arch, weights=str(state), classes=classes, small_stem=True, preprocessing=cifar)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        want = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(exported, {"input": x}, native=False)[0], want, atol=2e-4 * np.abs(want).max())


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "alexnet"])
def test_a_small_stem_takes_small_images(arch):
    model = with_small_stem(torchvision.models.get_model(arch, weights=None, num_classes=7), arch).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_a_small_stem_is_not_for_all():
    with pytest.raises(OnnxqError, match="there is none for vgg16"):
        export_model("vgg16", weights="none", small_stem=True)
    with pytest.raises(OnnxqError, match="the usual stem"):
        export_model("resnet18", small_stem=True)
    with pytest.raises(OnnxqError, match="there is `small_stem`"):
        export_model("alexnet", weights="none", classes=10, size=32)


def test_preprocessing_is_in_the_file():
    values = metadata(export_model("squeezenet1_1", weights="none", classes=10, size=64))
    assert Preprocessing.from_metadata(values) == Preprocessing((3, 64, 64), resize=None, crop=None)
    assert (values["model"], values["num_classes"]) == ("squeezenet1_1", "10")


def test_preprocessing_follows_the_published_weights_and_the_size():
    from onnxq.export.torchvision import _build, for_size

    implied = _build("inception_v3", "none", 10)[1]
    assert (implied.input_size, implied.resize, implied.crop) == ((3, 299, 299), 342, 299)
    larger = for_size(_build("resnet18", "none", 10)[1], 448)
    assert (larger.resize, larger.crop) == (512, 448)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arch": "resnet19"}, r"no model 'resnet19'; did you mean .*resnet18"),
        ({"arch": "resnet18", "weights": "nowhere.pt"}, "no such file"),
        ({"arch": "resnet18", "classes": 10}, "`num_classes` and `small_stem` go with"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(OnnxqError, match=message):
        export_model(**arguments)


def test_weights_that_do_not_fit_or_are_damaged(tmp_path):
    state = tmp_path / "state.pt"
    torch.save(torchvision.models.squeezenet1_1(num_classes=7).state_dict(), state)
    with pytest.raises(OnnxqError, match="does not fit resnet18"):
        export_model("resnet18", weights=str(state))
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(OnnxqError, match="not a PyTorch state dict"):
        export_model("squeezenet1_1", weights=str(state))


@pytest.mark.parametrize(
    ("arch", "size", "outputs"),
    [
        ("lraspp_mobilenet_v3_large", 64, ["out"]),
        ("ssdlite320_mobilenet_v3_large", 96, ["cls_logits", "bbox_regression"]),
    ],
)
@pytest.mark.slow
def test_networks_for_segmentation_and_detection(arch, size, outputs):
    """As torch computes them, preprocessing included; quantized, all their weights are codes."""
    import torch
    import torchvision

    model = export_model(arch, weights="none", size=size)
    assert [entry.name for entry in model.graph.output] == outputs
    said = Preprocessing.from_metadata(metadata(model))
    assert said is not None and (said.fit, said.resize, said.crop) == ("stretch", (size, size), None)
    torch.manual_seed(0)
    network = torchvision.models.get_model(arch, weights=None, weights_backbone=None).eval()
    x = np.random.default_rng(0).normal(size=(3, 3, size, size)).astype(np.float32)
    with torch.no_grad():
        if outputs == ["out"]:
            wanted = [network(torch.from_numpy(x))["out"]]
        else:
            found = network.head(list(network.backbone(torch.from_numpy(x)).values()))
            wanted = [found[name] for name in outputs]
    for got, want in zip(run(model, {"input": x}, native=False), wanted, strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=2e-3 * float(want.abs().max()))
    result = onnxq.quantize(model, None, onnxq.Recipe.of(weight_bits=8, act_bits=None))
    assert result.share == 1
