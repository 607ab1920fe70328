"""Checkpoints of the published APoT system: the file computes what torch computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from helpers import run

from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.export.apot.checkpoint import bits_in
from onnxq.export.apot.grids import GRIDS
from onnxq.export.apot.importing import import_apot
from onnxq.export.apot.quantized_weights import on_end_grid, on_levels
from onnxq.graph.model_files import load_model, metadata
from onnxq_cli.main import _group

MODELS = Path(__file__).parents[2] / "models"
sys.path.insert(0, str(MODELS))

import train_apot  # noqa: E402

SMALL = Preprocessing((3, 8, 8), None, None)
CLEAR = 1e-6  # of a bound between two levels, in thresholds: nearer than that, sums in another order decide
W = [-0.9, -0.45, -0.2, -0.05, 0, 0.1, 0.3, 0.7]


@pytest.mark.parametrize(
    ("grid", "bits", "threshold", "want"),
    [
        ("apot", 5, 3.0, [-1.5, -0.75, -0.25, 0, 0.125, 0.375, 0.75, 1.5]),
        ("pot", 5, 3.0, [-1.5, -0.75, -0.375, 0.0234375, 0.09375, 0.375, 0.75, 1.5]),
        ("uniform", 5, 3.0, [-1.8, -0.8, -0.2, 0, 0.2, 0.4, 0.8, 1.6]),
        ("apot", 3, 3.0, [-1.5, -0.75, 0, 0, 0, 0, 0.75, 1.5]),
        ("uniform", 3, 3.0, [-2, -1, 0, 0, 0, 0, 1, 2]),
        ("apot", 2, 3.0, [-3, 0, 0, 0, 0, 0, 0, 3]),
        ("apot", 2, 1.5, [-1.5, -1.5, 0, 0, 0, 0, 1.5, 1.5]),
    ],
)
def test_published_vectors_of_weights(grid, bits, threshold, want):
    weight = on_levels(torch.tensor(W).reshape(2, 4), threshold, GRIDS[grid].levels(bits, signed=True), bits)
    np.testing.assert_allclose(weight.values.numpy().ravel(), want, atol=1e-6)


X = [-0.5, 0, 0.2, 0.5, 1, 1.7, 2.4, 3, 4.2, 5.5, 6, 9]


@pytest.mark.parametrize(
    ("grid", "bits", "want"),
    [
        ("apot", 2, [0, 0, 0, 0, 1.5, 1.5, 3, 3, 3, 6, 6, 6]),
        ("apot", 3, [0, 0, 0, 0.6, 1.2, 1.8, 2.4, 2.4, 3.6, 6, 6, 6]),
        ("apot", 4, [0, 0, 0.25, 0.5, 1, 1.5, 2.25, 3, 4.125, 6, 6, 6]),
        ("uniform", 2, [0, 0, 0, 0, 0, 2, 2, 4, 4, 6, 6, 6]),
        ("uniform", 4, [0, 0, 0, 0.4, 0.8, 1.6, 2.4, 3.2, 4, 5.6, 6, 6]),
    ],
)
def test_published_vectors_of_activations(grid, bits, want):
    got = GRIDS[grid].activation(6.0, bits).fake_quantize(np.float32(X), axis=0)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_published_vector_of_the_ends():
    weight = on_end_grid(torch.tensor([[-1.3, -0.4], [0.1, 0.7]]))
    np.testing.assert_allclose(weight.values.numpy().ravel(), [-1.300787, -0.402362, 0.099213, 0.7], atol=1e-6)
    behind = weight.behind(np.array([2.0, -1.0]))
    np.testing.assert_allclose(behind.dequantized().ravel(), [-2.601574, -0.804724, -0.099213, -0.7], atol=1e-6)
    assert behind.codes.dtype == np.uint8 and list(behind.bits) == [8, 7]  # each channel has a width of its own
    wide = on_end_grid(torch.tensor([[-1.3, 0.7]])).behind(
        np.ones(1)
    )  # 364 steps: the largest is not the largest magnitude
    assert wide.codes.dtype == np.uint16
    np.testing.assert_allclose(wide.dequantized().ravel(), [-1.300787, 0.7], atol=1e-6)


def stand_in(path: Path, bits: int, grid: str = "apot", arch: str = "res20") -> torch.nn.Module:
    """A network of thresholds, batch norms and weights that are not those of the start, as a published checkpoint."""
    torch.manual_seed(bits)
    model = train_apot.network(arch, bits, 10, grid)
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            parameter.data.uniform_(1.0, 2.5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(5, 20)
            module.weight.data.uniform_(-1.5, 1.5)  # negative ones, too
            module.bias.data.uniform_(-0.2, 0.5)
    model.bn1.weight.data[3] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    return model.eval()


def clear_images(model: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    """Images none of whose activations lies on a bound between two levels, as far as float32 tells."""
    nearest = []

    def look(module, inputs):
        u = inputs[0] / module.act_alpha
        bounds = (module.input_levels[1:] + module.input_levels[:-1]) / 2
        at = torch.stack([(u - bound).abs().flatten(1).min(dim=1)[0] for bound in bounds])
        nearest.append(at.min(dim=0)[0])

    hooks = [m.register_forward_pre_hook(look) for m in model.modules() if isinstance(m, train_apot.QuantizedConv2d)]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return (torch.stack(nearest).min(dim=0)[0] > CLEAR).numpy()


@pytest.mark.parametrize(
    ("bits", "grid", "arch"),
    [
        (2, "apot", "res20"),
        (3, "apot", "res20"),
        (4, "apot", "res20"),
        (5, "apot", "res56"),
        (3, "pot", "res20"),
        (4, "uniform", "res20"),
    ],
)
@pytest.mark.slow
def test_logits_are_those_of_torch(tmp_path, bits, grid, arch):
    path = tmp_path / f"{arch}_{bits}bit" / "model_best.pth.tar"
    model = stand_in(path, bits, grid, arch)
    quantized = import_apot(path, arch, grid=grid, preprocessing=SMALL)
    x = torch.randn(100, 3, 8, 8)
    with torch.no_grad():
        want = model(x).numpy()
    got = run(quantized, {"input": x.numpy()}, native=False)[0]
    clear = clear_images(model, x)
    assert clear.sum() >= 8
    np.testing.assert_allclose(got[clear], want[clear], atol=1e-4 * max(1, np.abs(want).max()))
    assert np.abs(want - want.mean(axis=0)).max() > 0.1  # it says something
    assert metadata(quantized)["onnxq.imported"].endswith(f"{bits} bits")


@pytest.mark.parametrize("arch", ["resnet18", "mobilenetv2"])
@pytest.mark.slow
def test_networks_for_imagenet(tmp_path, arch):
    """With the names that their thresholds have there, on weights of no training."""
    import torchvision

    torch.manual_seed(0)
    name = {"mobilenetv2": "mobilenet_v2"}.get(arch, arch)
    state = torchvision.models.get_model(name, weights=None, num_classes=10).state_dict()
    for key, value in state.items():
        if key.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    convolutions = [key.removesuffix(".weight") for key, value in state.items() if value.ndim == 4][1:]
    for layer in convolutions:
        state |= {f"{layer}.act_alpha": torch.tensor(2.0), f"{layer}.weight_alpha": torch.tensor(2.5)}
    path = tmp_path / "best.pth.tar"
    torch.save({"model": state}, path)
    quantized = import_apot(path, arch, bits=5, preprocessing=Preprocessing((3, 64, 64), None, None))
    operators = [node.op_type for node in quantized.graph.node]
    assert operators.count("FakeQuantizeCodebook") == operators.count("DequantizeCodebook") == len(convolutions)
    assert operators.count("DequantizePacked") == 2
    x = np.random.default_rng(0).normal(size=(4, 3, 64, 64)).astype(np.float32)
    want = torch_logits(name, state, convolutions, x)
    got = run(quantized, {"input": x}, native=False)[0]
    apart = np.abs(got - want).max(axis=1) / np.abs(want - want.mean(axis=0)).max()
    # an activation on the bound between two levels, which a sum in another order decides, moves those of an image
    assert (apart < 1e-4).sum() >= 2 and apart.max() < 0.5, apart


def torch_logits(name, state, convolutions, x):
    """What torch computes with quantized inputs and weights of 5 bits, thresholds 2.0 and 2.5, batch norm unfolded."""
    import torchvision

    network = torchvision.models.get_model(name, weights=None, num_classes=10)
    network.load_state_dict({key: value for key, value in state.items() if not key.endswith("alpha")})
    inputs = GRIDS["apot"].activation(2.0, 5)

    def quantize(module, values):
        return (torch.from_numpy(inputs.fake_quantize(values[0].numpy(), axis=1)),)

    for layer, module in network.named_modules():
        if layer in convolutions:
            levels = GRIDS["apot"].levels(5, signed=True)
            module.weight.data = on_levels(module.weight.detach(), 2.5, levels, 5).values
            module.register_forward_pre_hook(quantize)
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.weight.data = on_end_grid(module.weight.detach()).values
    with torch.no_grad():
        return network.eval()(torch.from_numpy(x)).numpy()


def test_a_float_checkpoint_stays_float(tmp_path):
    stand_in(tmp_path / "res20_32bit" / "best.pth.tar", 4)
    model = import_apot(tmp_path / "res20_32bit" / "best.pth.tar", "res20")
    assert {node.domain for node in model.graph.node} == {""}


def test_what_is_wrong_is_said(tmp_path):
    path = tmp_path / "c.pth.tar"
    stand_in(path, 4)
    with pytest.raises(OnnxqError, match="does not say its bits"):
        import_apot(path, "res20")
    with pytest.raises(OnnxqError, match="does not fit res56"):
        import_apot(path, "res56", bits=4)
    with pytest.raises(OnnxqError, match="no such file"):
        import_apot(tmp_path / "none_4bit.pt", "res20")
    content = torch.load(path, weights_only=True)
    content["state_dict"]["module.layer1.0.conv1.act_alpha"] = torch.tensor(float("nan"))
    torch.save(content, path)
    with pytest.raises(OnnxqError, match=r"layer1.0.conv1: its threshold must be a positive number, not nan"):
        import_apot(path, "res20", bits=4)
    torch.save({"state_dict": torch.nn.Linear(2, 2).state_dict()}, path)
    with pytest.raises(OnnxqError, match="no trained thresholds"):
        import_apot(path, "res20", bits=4)
    path.write_bytes(b"nothing")
    with pytest.raises(OnnxqError, match="not a PyTorch state dict"):
        import_apot(path, "res20", bits=4)
    for junk in (b"hi\n", b"\x80\x02}q\x00.", b""):
        path.write_bytes(junk)
        with pytest.raises(OnnxqError, match="not a PyTorch state dict"):
            import_apot(path, "res20", bits=4)
    with pytest.raises(OnnxqError, match="no such file"):
        import_apot(tmp_path, "res20", bits=4)
    stand_in(path, 4)
    with pytest.raises(OnnxqError, match="`bits` must be 2 to 8"):
        import_apot(path, "res20", bits=9)
    assert bits_in(Path("a/b.pt")) is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layer1.0.conv1.act_alpha", None, "weight_quant.wgt_alpha is of a layer without a threshold of its inputs"),
        ("conv1.act_alpha", 1.0, "layer conv1 has no threshold of its weights"),
        ("bn1.running_var", -1.0, "bn1.running_var has negative variances"),
        ("bn1.weight", np.inf, "bn1.weight has NaN or infinite values"),
        ("fc.bias", 1.0, "it has no last layer"),
        (5, 1.0, "not a PyTorch state dict"),
        ("conv1.weight", -1.0, "weights that are not finite, or none that is positive"),
    ],
)
def test_damaged_parameters(tmp_path, name, value, message):
    """A value for None is left out; a number takes the place of all values, or of the parameter."""
    path = tmp_path / "c_4bit.pt"
    stand_in(path, 4)
    content = torch.load(path, weights_only=True)["state_dict"]
    key = f"module.{name}" if isinstance(name, str) else name
    if value is None:
        del content[key]
    elif name == "fc.bias" or key not in content:
        content[key] = torch.tensor(float(value))
    else:
        content[key].fill_(value)
    torch.save(content, path)
    with pytest.raises(OnnxqError, match=message):
        import_apot(path, "res20", preprocessing=SMALL)


def test_thresholds_are_of_all_inner_convolutions(tmp_path):
    path = tmp_path / "c_4bit.pt"
    stand_in(path, 4)
    content = torch.load(path, weights_only=True)["state_dict"]
    without = {key: value for key, value in content.items() if "layer2.0.conv1." not in key or key.endswith("weight")}
    torch.save(without, path)
    with pytest.raises(OnnxqError, match=r"convolution layer2.0.conv1 has no trained thresholds"):
        import_apot(path, "res20", preprocessing=SMALL)
    content |= {"conv1.act_alpha": torch.tensor(1.0), "conv1.weight_alpha": torch.tensor(1.0)}
    torch.save(content, path)
    with pytest.raises(OnnxqError, match="conv1 has trained thresholds, and is no convolution behind the first one"):
        import_apot(path, "res20", preprocessing=SMALL)


def test_the_widest_end_layer():
    with pytest.raises(OnnxqError, match="more than 65,536 steps"):
        on_end_grid(torch.tensor([[-1.0, 1e-4]]))
    with pytest.raises(OnnxqError, match="none that is positive"):
        on_end_grid(torch.tensor([[-1.0, -0.5]]))


def test_the_command(tmp_path):
    path = tmp_path / "res20_3bit" / "model_best.pth.tar"
    stand_in(path, 3)

    def command(*arguments):
        return CliRunner().invoke(_group, [str(argument) for argument in ("import-apot", *arguments)])

    output = tmp_path / "o.onnx"
    done = command(path, "--arch", "res20", "-o", output)
    assert done.exit_code == 0 and "APoT checkpoint, res20, apot, 3 bits, 10 classes" in done.output
    assert metadata(load_model(output))["num_classes"] == "10"
    assert Preprocessing.from_metadata(metadata(load_model(output))).input_size == (3, 32, 32)
    done = command(path, "--arch", "res20", "-o", path)
    assert "it is an input, too" in str(done.exception)
    assert command(path, "--arch", "vgg", "-o", output).exit_code == 2


@pytest.mark.slow
def test_the_recipe_trains_a_few_steps(tmp_path):
    path = tmp_path / "res20_4bit" / "best.pth.tar"
    script = [
        sys.executable,
        str(MODELS / "train_apot.py"),
        "-o",
        str(path),
        "--images",
        "8",
        "--epochs",
        "1",
        "--batch",
        "4",
    ]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert metadata(import_apot(path, "res20"))["num_classes"] == "60"
