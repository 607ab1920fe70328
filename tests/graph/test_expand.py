"""``onnxq expand``: packed weights written out, the same results."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import images, run, small_network

import onnxq
from onnxq.graph.expand import expand
from onnxq.recipe import Recipe
from onnxq_cli.expand import command

FIELDS = {
    "bit streams": {"target": "onnxruntime", "weight_bits": 3, "act_bits": 8},
    "INT4": {"target": "onnxruntime", "weight_bits": 4, "act_bits": 8, "bit_alloc": "none"},
    "INT2": {"target": "onnxruntime", "weight_bits": 2, "act_bits": 8, "bit_alloc": "none"},
    "onnxq": {"weight_bits": 4, "act_bits": None},
    "powers of two": {"weight_bits": 4, "act_bits": None, "weights": "apot"},
}


@pytest.mark.parametrize("kind", FIELDS)
def test_the_same_results_without_packed_weights(kind):
    network, x = small_network(), images(16)
    model = onnxq.quantize(network, None, Recipe.of(**FIELDS[kind]), images=[images(32)]).model
    expanded = expand(model)
    onnx.checker.check_model(expanded, full_check=True)
    assert not {"Cast", "UnpackSigned", "DequantizePacked", "DequantizeCodebook"} & {
        node.op_type for node in expanded.graph.node
    }
    assert not expanded.functions
    kinds = {tensor.data_type for tensor in expanded.graph.initializer if len(tensor.dims) > 1}
    assert kinds == {onnx.TensorProto.INT8 if "target" in FIELDS[kind] else onnx.TensorProto.FLOAT}
    want, got = (run(each, {"input": x}, native=False)[0] for each in (model, expanded))
    np.testing.assert_array_equal(got, want)


def test_activations_keep_their_operators():
    model = onnxq.quantize(small_network(), None, Recipe.of(), images=[images(32)]).model
    expanded = expand(model)
    assert [function.name for function in expanded.functions].count("FakeQuantize") == 1
    assert run(expanded, {"input": images(4)}, native=False)[0].shape == (4, 5)


def test_the_command(tmp_path):
    path, out = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    recipe = Recipe.of(target="onnxruntime", weight_bits=4, act_bits=8)
    onnxq.save_model(onnxq.quantize(small_network(), None, recipe, images=[images(32)]).model, path)
    result = CliRunner().invoke(command, [str(path), "-o", str(out)], catch_exceptions=False)
    assert f"{out}: " in result.output
    assert onnxq.check(out).weights == {"INT8": 4}


def test_what_subgraphs_and_functions_of_others_need_stays():
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "me" : 1]>
        g (float[n] x, bool flag) => (float[n] y) <float[1] inner = {2.0}, int32[1] whole = {1}> {
            c = Cast <to = 1> (whole)
            a = If (flag) <then_branch = t () => (float[n] b) { b = Mul (x, inner) },
                           else_branch = f () => (float[n] b) { b = Add (x, c) }>
            y = me.Twice (a)
        }
        <domain: "me", opset_import: ["" : 21]> Twice (x) => (y) { y = Add (x, x) }"""
    )
    expanded = expand(model)
    assert not any(node.op_type == "Cast" for node in expanded.graph.node)
    for flag in (True, False):
        feeds = {"x": np.float32([1, 2]), "flag": np.array(flag)}
        want, got = (run(each, feeds, native=False)[0] for each in (model, expanded))
        np.testing.assert_array_equal(got, want)
