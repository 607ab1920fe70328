"""Files for other runtimes than ONNX Runtime on x86: what they hold, and that they compute the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import exact_session, images, parse, small_network

import onnxq
from onnxq.recipe import Recipe

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def quantized(model, x, **fields):
    result = onnxq.quantize(model, None, Recipe.of(rounding="nearest", **fields), images=[x], hold_back=0)
    onnx.checker.check_model(result.model, full_check=True)
    return result.model


def close(model, other, tolerance=0.0):
    x = images(8, seed=9)
    got, want = (exact_session(each).run(None, {"input": x})[0] for each in (model, other))
    assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def code_types(model):
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    nodes = [node for node in nodes if len(node.input) > 2]
    return {onnx.TensorProto.DataType.Name(constants[node.input[2]]) for node in nodes}


BLOCK = """g (float[n,3,8,8] input) => (float[n,5] y) {
    a = Conv (input, w1) s = HardSigmoid <alpha = 0.2, beta = 0.5> (a) m = Mul (a, s) h = Add (m, row)
    t = Pad (h, pads) c = Conv (t, w3) r = Relu (c) p = ReduceMean <keepdims = 0> (r, axes) y = Gemm <transB = 1> (p, w4)
}"""


@pytest.mark.parametrize("act_bits", [8, 5])
@pytest.mark.parametrize("network", ["small", "block"])
def test_files_for_arm_are_signed_and_compute_what_those_for_x86_do(tmp_path, network, act_bits):
    constants = {
        "w1": normal(4, 3, 3, 3), "w3": normal(4, 4, 3, 3), "w4": normal(5, 4), "row": normal(1, 4, 1, 1),
        "axes": np.int64([2, 3]), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    }  # fmt: skip
    model = small_network() if network == "small" else parse(BLOCK, constants)
    fields = {"weight_bits": 4, "act_bits": act_bits, "edge_bits": 6}
    here, there = (quantized(model, images(64), target=target, **fields) for target in ("onnxruntime", "arm"))
    assert code_types(here) == {"UINT8", "INT8"}  # of weights
    assert code_types(there) == {"INT8"}
    close(there, here)
    onnxq.save_model(there, tmp_path / "arm.onnx")
    found = onnxq.check(tmp_path / "arm.onnx", "arm")
    assert not found.in_float
    assert not found.problems


def test_weights_of_eight_bits_do_not_saturate_on_arm(tmp_path):
    model = quantized(small_network(), images(64), target="arm", weight_bits=8, act_bits=8)
    onnxq.save_model(model, tmp_path / "arm.onnx")
    assert not onnxq.check(tmp_path / "arm.onnx", "arm").problems
    assert onnxq.check(tmp_path / "arm.onnx", "onnxruntime").problems


@pytest.mark.parametrize(("target", "bits"), [("openvino", 7), ("openvino", 8), ("qnn", 8)])
def test_files_for_runtimes_that_are_not_at_hand(tmp_path, target, bits):
    model = quantized(small_network(), images(64), target=target, weight_bits=bits, act_bits=8)
    close(model, small_network(), 0.05)
    onnxq.save_model(model, tmp_path / "model.onnx")
    found = onnxq.check(tmp_path / "model.onnx", target)
    assert set(found.activations) == {"UINT8"}
    assert set(found.weights) == {"INT8"}
    assert [layer.op for layer in found.in_float] == (["Gemm"] if target == "qnn" else [])
    assert any("free sizes" in problem for problem in found.problems) == (target == "qnn")
    assert any("saturate" in problem for problem in found.problems) == (target == "openvino" and bits == 8)


def test_openvino_takes_signed_activations_too(tmp_path):
    model = quantized(small_network(), images(64), target="arm", weight_bits=8, act_bits=8)
    onnxq.save_model(model, tmp_path / "arm.onnx")
    assert not onnxq.check(tmp_path / "arm.onnx", "openvino").in_float
    assert {layer.why for layer in onnxq.check(tmp_path / "arm.onnx", "qnn").in_float} == {
        "its input is INT8, not UINT8"
    }


@pytest.mark.parametrize("options", [{}, {"target": "onnxruntime"}, {"target": "arm"}], ids=str)
def test_the_tail_of_a_detector_stays_in_float(options, random):
    """Boxes of hundreds of pixels and scores up to 1 in one tensor, behind an exponential: no quantizer mixes them."""
    model = parse(
        """yolo (float[n,3,8,8] x) => (float[n,m,7] boxes) {
            c = Conv <pads = [1,1,1,1]> (x, w)  r = Relu(c)  h = Conv(r, v)
            place, size, score = Split <axis = 1, num_outputs = 3> (h)
            e = Exp(size)  grown = Mul(e, stride)  moved = Mul(place, stride)  sure = Sigmoid(score)
            all = Concat <axis = 1> (moved, grown, sure)  flat = Reshape(all, shape)  boxes = Transpose <perm = [0,2,1]> (flat)
        }""",
        {
            "w": random.normal(size=(6, 3, 3, 3)).astype(np.float32) * 0.3,
            "v": random.normal(size=(7, 6, 1, 1)).astype(np.float32) * 0.3,
            "stride": np.float32(64),
            "shape": np.int64([0, 7, -1]),
        },
    )
    x = random.normal(size=(8, 3, 8, 8)).astype(np.float32)
    result = onnxq.quantize(model, None, Recipe.of(act_bits=8, weight_bits=8, **options), images=[x])
    behind = {"e", "grown", "moved", "sure", "all", "flat", "boxes"}
    assert not behind & set(result.plan.activations)
    want, got = (exact_session(each).run(None, {"x": x})[0].astype(np.float64) for each in (model, result.model))
    for part in (slice(0, 3), slice(3, 5), slice(5, 7)):
        error = np.square(want[..., part] - got[..., part]).sum() / np.square(want[..., part]).sum()
        assert error < 0.01, part
