"""Batch norm that stays, with parameters in bits of its own, as the published fixed-point system has it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from helpers import run
from onnx import numpy_helper

import onnxq
from onnxq.errors import OnnxqError
from onnxq.export.torchvision import export_model
from onnxq.formats.fixed_point import FixedPoint

POINTS = "every-op-unfolded"


@pytest.fixture(scope="module")
def exported():
    """ResNet-18 of random weights, folded and not."""
    return [
        export_model("resnet18", weights="none", classes=10, size=32, keep_batch_norm=keep) for keep in (True, False)
    ]


def test_the_exported_networks_compute_the_same(exported):
    kept, folded = exported
    operators = [{node.op_type for node in model.graph.node} for model in exported]
    assert operators[0] - operators[1] == {"BatchNormalization"} or "BatchNormalization" in operators[0]
    assert "Expand" not in operators[0] and "BatchNormalization" not in operators[1]
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    a, b = (run(model, {"input": x}, native=False)[0] for model in (kept, folded))
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize(("bits", "step"), [(4, 2.0**-3), (6, 2.0**-5), (32, 0)])
def test_its_parameters_have_bits_of_their_own(exported, bits, step):
    kept = exported[0]
    changed = onnx.ModelProto()
    changed.CopyFrom(kept)
    torch.manual_seed(0)
    gamma = (torch.rand(64) / 2 + 0.3).numpy()  # all below 1: no integer bits
    for tensor in changed.graph.initializer:
        if tensor.name == "bn1.weight":
            tensor.CopyFrom(numpy_helper.from_array(gamma, "bn1.weight"))
    x = np.random.default_rng(1).normal(size=(4, 3, 32, 32)).astype(np.float32)
    statistics = onnxq.calibrate(changed, [x], points=POINTS)
    form = FixedPoint(batch_norm_bits=bits)
    recipe = onnxq.Recipe.from_dict(
        {
            "weights": {"format": form, "bits": 12, "granularity": "per-tensor"},
            "activations": {"format": "fixed-point", "bits": 12},
            "points": POINTS,
        }
    )
    result = onnxq.quantize(changed, statistics, recipe)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in result.model.graph.initializer}
    norms = [node for node in result.model.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) == 20 and len(result.plan.layers) == 21
    values = constants[norms[0].input[1]]
    want = gamma if bits == 32 else np.clip(np.rint(gamma / step), None, 2 ** (bits - 1) - 1) * step
    np.testing.assert_allclose(values, want, atol=1e-7)
    assert np.isfinite(run(result.model, {"input": x}, native=False)[0]).all()


def test_statistics_of_folded_networks_do_not_fit(exported):
    x = np.zeros((1, 3, 32, 32), np.float32)
    statistics = onnxq.calibrate(exported[0], [x + 0.1], points="every-op")
    with pytest.raises(OnnxqError, match="taken at `points` every-op"):
        onnxq.quantize(exported[0], statistics, onnxq.Recipe.of("fixed-point", placement=POINTS))
    with pytest.raises(OnnxqError, match="batch_norm_bits"):
        onnxq.Recipe.of(weights={"format": {"fixed-point": {"batch_norm_bits": 1}}})
