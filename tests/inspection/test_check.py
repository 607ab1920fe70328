"""``onnxq check``: what it says of a file is what ONNX Runtime makes of it."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from helpers import images, parse, small_network

import onnxq
from onnxq.errors import OnnxqError
from onnxq.recipe import Recipe
from onnxq_cli.check import command

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


def file_of(folder, model=None, **fields):
    """A quantized file of the small network."""
    path = folder / "model.onnx"
    if model is None:
        recipe = Recipe.of(**{"weight_bits": 4, "act_bits": 8, "target": "onnxruntime", **fields})
        model = onnxq.quantize(small_network(), None, recipe, images=[images(32)]).model
    onnxq.save_model(model, path)
    return path


def test_a_file_for_integer_kernels(tmp_path):
    found = onnxq.check(file_of(tmp_path))
    assert [layer.op for layer in found.layers] == ["Conv", "Conv", "Conv", "Gemm"]
    assert not found.in_float
    assert not found.others
    assert sum(found.weights.values()) == 4
    assert set(found.weights) <= {"INT4", "bit stream"}
    assert set(found.activations) == {"UINT8"}
    assert (found.target, found.opset, found.problems) == ("onnxruntime", 21, ())
    assert found.bytes == (tmp_path / "model.onnx").stat().st_size
    assert found.load_seconds is not None


def test_the_float_network(tmp_path):
    found = onnxq.check(file_of(tmp_path, small_network()))
    assert [layer.why.split(":")[0] for layer in found.layers] == ["its input is not quantized"] * 4
    assert found.others["Add"] == 1
    assert found.weights == {"FLOAT": 4}


def test_wide_weights_can_saturate(tmp_path):
    (problem,) = onnxq.check(file_of(tmp_path, weight_bits=8)).problems
    assert "weights have codes beyond 7 bits" in problem
    assert not onnxq.check(file_of(tmp_path, weight_bits=7)).problems


def test_onnx_runtime_quantizes_float_weights_between_quantizers(tmp_path):
    found = onnxq.check(file_of(tmp_path, skip=("Conv_b",)))
    assert not found.in_float
    assert found.weights["FLOAT"] == 1


def test_tensorrt(tmp_path):
    network, x = small_network(), [images(32)]
    seen = onnxq.calibrate(network, x, points="integer")
    for target, count in (("tensorrt", 0), ("onnxruntime", 4)):
        recipe = Recipe.of(weight_bits=8, act_bits=8, target=target, placement="integer")
        found = onnxq.check(file_of(tmp_path, onnxq.quantize(network, seen, recipe).model), "tensorrt")
        assert len(found.in_float) == count
        assert found.load_seconds is None
        assert any("zero point other than 0" in problem for problem in found.problems) == (count > 0)


QDQ = """g (float[n,2,4,4] input) => (float[n,2,4,4] y) {
    c = QuantizeLinear (input, s, z)
    x = DequantizeLinear (c, s, z)
    w = DequantizeLinear <axis = 0> (codes, ws)
    a = Conv (x, w)
    END
}"""
ENDS = {
    "q = QuantizeLinear (a, s, z) y = DequantizeLinear (q, s, z)": "",
    "y = Identity (a)": "its output is not quantized: Identity reads it",
    "r = Relu (a) q = QuantizeLinear (r, s, z) y = DequantizeLinear (q, s, z)": "",
    "y = Relu (a)": "its output is not quantized: Relu reads it",
}


@pytest.mark.parametrize("end", ENDS)
def test_files_of_others(tmp_path, end):
    model = parse(
        QDQ.replace("END", end),
        {
            "s": np.float32(0.1), "z": np.uint8(0), "i8": np.int8(0), "ws": np.float32([0.1, 0.2]),
            "codes": np.int8(RANDOM.integers(-60, 60, (2, 2, 1, 1))),
        },
    )  # fmt: skip
    (layer,) = onnxq.check(file_of(tmp_path, model)).layers
    assert layer.why == ENDS[end]


def test_weights_in_int4_without_a_cast(tmp_path):
    values = {"s": np.float32(0.1), "z": np.uint8(0), "ws": np.float32([0.1, 0.2])}
    codes = np.array([1, 2, -3, 4], ml_dtypes.int4).reshape(2, 2, 1, 1)
    model = parse(
        QDQ.replace("END", "q = QuantizeLinear (a, s, z) y = DequantizeLinear (q, s, z)"), {**values, "codes": codes}
    )
    (layer,) = onnxq.check(file_of(tmp_path, model)).layers
    assert layer.why.startswith("its weight is INT4: cast to INT8")


def test_nodes_of_one_name(tmp_path):
    model = small_network()
    for node in model.graph.node:
        node.name = "same"
    assert len({layer.name for layer in onnxq.check(file_of(tmp_path, model)).layers}) == 4


def test_a_name_that_a_nameless_node_would_get(tmp_path):
    model = small_network()
    model.graph.node[1].name = "Conv_0"
    assert len({layer.name for layer in onnxq.check(file_of(tmp_path, model)).layers}) == 4


def test_files_in_integer_operators(tmp_path):
    """What ONNX Runtime saves after optimization."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(str(file_of(tmp_path)), options, providers=["CPUExecutionProvider"])
    found = onnxq.check(tmp_path / "optimized.onnx")
    assert [layer.op for layer in found.layers] == ["QLinearConv", "QLinearConv", "QLinearConv", "QGemm"]
    assert not found.in_float


def test_weights_beside_the_file_count(tmp_path):
    onnx.save(small_network(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert onnxq.check(tmp_path / "m.onnx").bytes == sum(
        (tmp_path / f"m.{end}").stat().st_size for end in ("onnx", "data")
    )


def test_what_cannot_be_checked(tmp_path):
    path = file_of(tmp_path)
    with pytest.raises(OnnxqError, match="no integer kernels to check for; onnxruntime"):
        onnxq.check(path, "qdq")
    with pytest.raises(OnnxqError, match="no such file"):
        onnxq.check(tmp_path / "none.onnx")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(OnnxqError, match="not an ONNX model"):
        onnxq.check(path)


def test_the_command(tmp_path):
    path = file_of(tmp_path, small_network())
    out = CliRunner().invoke(command, [str(path), "--json", str(tmp_path / "check.json")], catch_exceptions=False)
    assert "ONNX Runtime computes 0 of 4 layers with integers" in out.output
    assert "its input is not quantized: it is an input of the network" in out.output
    assert len(json.loads((tmp_path / "check.json").read_text())["layers"]) == 4
