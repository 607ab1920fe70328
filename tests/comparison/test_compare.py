"""Files beside their float network: what is compared, and with what it is compared by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import parse, run, small_network

import onnxq
from onnxq.comparison.reasons import reason_of
from onnxq.comparison.tally import OutputTally, decibels
from onnxq.errors import OnnxqError
from onnxq.inspection.shown import ShownTensor
from onnxq_cli.main import _group


@pytest.fixture
def images(random):
    return [random.normal(size=(size, 3, 8, 8)).astype(np.float32) for size in (5, 8, 3)]


def file_of(model, images, folder, points="inputs", **options):
    seen = onnxq.calibrate(model, images, points=points)
    result = onnxq.quantize(model, seen, onnxq.Recipe.of(rounding="nearest", **options))
    onnxq.save_model(result.model, folder / "q.onnx")
    return folder / "q.onnx", result


def value_of(model, name, x):
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return run(probe, {"input": x}, native=False)[-1].astype(np.float64)


def sqnr(exact, other):
    return 10 * np.log10(np.square(exact).sum() / np.square(exact - other).sum())


def test_outputs_are_compared_over_all_images(small_model, images, tmp_path):
    path, result = file_of(small_network(), images, tmp_path, act_bits=4)
    (found,) = onnxq.compare(small_model, path, images)
    assert (found.path, found.images, found.tensors) == (path, 16, ())
    x = np.concatenate(images)
    want, got = (
        run(model, {"input": x}, native=None)[0].astype(np.float64) for model in (small_network(), result.model)
    )
    (output,) = found.outputs
    assert output.name == "logits" and output.sqnr == pytest.approx(sqnr(want, got), rel=1e-4)
    assert output.cosine == pytest.approx((want * got).sum() / np.sqrt((want**2).sum() * (got**2).sum()), rel=1e-6)
    assert output.largest == pytest.approx(np.abs(want - got).max(), rel=1e-4)
    assert output.same_argmax == (want.argmax(axis=1) == got.argmax(axis=1)).mean()


@pytest.mark.parametrize("kind", ["ours", "qdq", "integer"])
def test_each_layer_alone_and_with_all_before_it(kind, small_model, images, tmp_path):
    options = {
        "ours": {"act_bits": 3},
        "qdq": {"format": "qdq", "act_bits": 4},
        "integer": {"target": "onnxruntime", "act_bits": 8, "weight_bits": 4},
    }[kind]
    path, result = file_of(small_network(), images, tmp_path, "integer" if kind == "integer" else "inputs", **options)
    (found,) = onnxq.compare(small_model, path, images, layers=True)
    tensors = {tensor.name: tensor for tensor in found.tensors}
    x = np.concatenate(images)
    for name in ("a", "s", "c", "logits"):
        exact = value_of(small_network(), name, x)
        assert tensors[name].accumulated == pytest.approx(sqnr(exact, value_of(result.model, name, x)), abs=0.05)
    # the second convolution alone, by hand: its quantizer and its weights on the float network's ra
    ra = value_of(small_network(), "ra", x).astype(np.float32)
    alone = onnx.ModelProto()
    alone.CopyFrom(result.model)
    for node in alone.graph.node:
        node.input[:] = ["given" if name == "ra" else name for name in node.input]
    alone.graph.input.append(onnx.helper.make_tensor_value_info("given", onnx.TensorProto.FLOAT, ["n", 6, 8, 8]))
    alone.graph.output.append(onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None))
    made = run(alone, {"input": x, "given": ra}, native=False)[-1]
    assert tensors["b"].alone == pytest.approx(sqnr(value_of(small_network(), "b", x), made), abs=0.05)
    assert tensors["b"].op == "Conv"
    order = [math.inf if tensor.alone is None else tensor.alone for tensor in found.tensors]
    assert order == sorted(order)
    if kind == "ours":
        assert tensors["ra"].alone is None  # nothing is quantized between a and its ReLU


def test_a_file_of_another_tool(small_model, images, tmp_path):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = [{"input": batch} for batch in images]

        def get_next(self):
            return self.left.pop() if self.left else None

    quantize_static(
        str(small_model), str(tmp_path / "t.onnx"), Reader(), quant_format=QuantFormat.QDQ, per_channel=True
    )
    (found,) = onnxq.compare(small_model, tmp_path / "t.onnx", images, layers=True)
    tensors = {tensor.name: tensor for tensor in found.tensors}
    assert found.outputs[0].sqnr > 15 and len(tensors) >= 4
    for name in ("ra", "b", "rs", "rc", "logits"):  # it has no ReLU and no Clip: its quantizers do what they did
        assert tensors[name].alone > 30 and tensors[name].alone >= tensors[name].accumulated - 0.5
    assert tensors["b"].alone > tensors["b"].accumulated + 0.5  # not counted is what the first layer adds


def test_sums_that_need_care(random):
    assert decibels(1.0, 0.0) == math.inf and decibels(0.0, 1.0) == -math.inf and decibels(1.0, math.nan) == -math.inf
    tally = OutputTally("boxes")
    y = random.normal(size=(2, 7, 4)).astype(np.float32)
    tally.add(y, y, 2)
    tally.add(y, y[:, :3], 2)
    result = tally.result()
    assert (result.shapes_differ, result.sqnr, result.same_argmax) == (1, math.inf, None) and result.cosine == 1
    zeros = OutputTally("zeros")
    zeros.add(np.zeros((2, 3)), np.zeros((2, 3)), 2)
    assert zeros.result().sqnr == math.inf and zeros.result().same_argmax == 1


@pytest.mark.parametrize(
    ("threshold", "step", "reach", "said"),
    [
        (1.0, 0.1, [4.0, 1.0], "values up to 4 are clipped at 1"),
        (10.0, 1.0, [5.0, 4.0], "few levels used: values up to 5 in steps of 1"),
        (10.0, 0.04, [10.0, 0.1, 0.1], "one range for uneven channels: up to 10 (channel 0), median 0.1"),
        (10.0, 0.04, [10.0, 9.0], ""),
    ],
)
def test_reasons(threshold, step, reach, said):
    shown = ShownTensor("x", "activation", "l", "UINT8", {8: 1}, (step, step), (0, threshold), (threshold, threshold))
    assert reason_of(shown, np.array(reach)) == said


def test_what_cannot_be_compared_is_said(small_model, images, tmp_path):
    other = parse("g (float[n,3,8,8] input) => (float[n,3,8,8] p, float[n,3,8,8] q) { p = Relu(input) q = Neg(p) }")
    onnx.save(other, tmp_path / "o.onnx")
    with pytest.raises(OnnxqError, match="it has the outputs p, q, the float file logits"):
        onnxq.compare(small_model, tmp_path / "o.onnx", images)
    with pytest.raises(OnnxqError, match=r"none\.onnx: no such file"):
        onnxq.compare(small_model, tmp_path / "none.onnx", images)
    with pytest.raises(OnnxqError, match="no images to compare on"):
        onnxq.compare(small_model, small_model, [])
    with pytest.raises(OnnxqError, match="NaN or infinite values in images 0 to 0"):
        onnxq.compare(small_model, small_model, [np.full((1, 3, 8, 8), np.nan, np.float32)])


def test_the_command(small_model, small_data, images, tmp_path):
    path, _ = file_of(small_network(), images, tmp_path, act_bits=3)
    arguments = [
        "compare",
        small_model,
        path,
        "--data",
        small_data,
        "--layers",
        "--worst",
        2,
        "--json",
        tmp_path / "c.json",
    ]
    done = CliRunner().invoke(_group, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "same argmax" in done.output and "and 9 more" in done.output
    (report,) = json.loads((tmp_path / "c.json").read_text())
    assert len(report["tensors"]) == 11 and report["outputs"][0]["name"] == "logits"
    assert report["tensors"][-1]["alone"] is None


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_files_of_quantize_static_of_any_opset(opset, form, small_model, images, tmp_path):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = [{"input": batch} for batch in images]

        def get_next(self):
            return self.left.pop() if self.left else None

    older = onnx.load(small_model)
    older.ir_version, older.opset_import[0].version = 8, opset  # whose operators are the same in all of these
    onnx.save(older, tmp_path / "f.onnx")
    quantize_static(str(tmp_path / "f.onnx"), str(tmp_path / "t.onnx"), Reader(), quant_format=QuantFormat[form])
    (found,) = onnxq.compare(tmp_path / "f.onnx", tmp_path / "t.onnx", images, layers=True)
    assert found.outputs[0].sqnr > 15 and any(tensor.accumulated > 15 for tensor in found.tensors)


def test_branches_read_what_their_network_has(images, tmp_path):
    """An If that captures a quantized tensor: what it makes is that of the quantized network, with its error."""
    model = parse(
        """g (float[n,3,8,8] input, bool c) => (float[n,2,8,8] y) {
            a = Conv <pads = [1,1,1,1]> (input, w)  r = Relu(a)
            b = If (c) <then_branch = t () => (float[n,4,8,8] p) { p = Neg(r) },
                        else_branch = e () => (float[n,4,8,8] q) { q = Abs(r) }>
            y = Conv(b, v) }""",
        {"w": np.float32(np.random.default_rng(0).normal(size=(4, 3, 3, 3))), "v": np.ones((2, 4, 1, 1), np.float32)},
    )
    onnx.save(model, tmp_path / "f.onnx")
    batches = [{"input": batch, "c": np.ones((), bool)} for batch in images]
    with pytest.raises(OnnxqError, match="a batch must be an array"):
        onnxq.compare(tmp_path / "f.onnx", tmp_path / "f.onnx", batches)
    flat = parse(
        """g (float[n,3,8,8] input) => (float[n,2,8,8] y) {
            a = Conv <pads = [1,1,1,1]> (input, w)  r = Relu(a)  s = ReduceSum <keepdims = 0> (r)  c = Greater(s, zero)
            b = If (c) <then_branch = t () => (float[n,4,8,8] p) { p = Neg(r) },
                        else_branch = e () => (float[n,4,8,8] q) { q = Abs(r) }>
            y = Conv(b, v) }""",
        {
            "w": np.float32(np.random.default_rng(0).normal(size=(4, 3, 3, 3))), "v": np.ones((2, 4, 1, 1), np.float32),
            "zero": np.float32(0),
        },
    )  # fmt: skip
    onnx.save(flat, tmp_path / "f.onnx")
    path, _ = file_of(flat, images, tmp_path, act_bits=3)
    (found,) = onnxq.compare(tmp_path / "f.onnx", path, images, layers=True)
    assert {tensor.name for tensor in found.tensors} == {"a", "r", "s"}  # behind an If the data decide on sizes
    assert all(math.isfinite(tensor.accumulated) for tensor in found.tensors)


def test_inputs_of_another_name_and_tensors_of_any(small_model, images, tmp_path):
    path, result = file_of(small_network(), images, tmp_path, act_bits=4)
    renamed = onnx.ModelProto()
    renamed.CopyFrom(result.model)
    renamed.graph.input[0].name = "photo"
    for node in renamed.graph.node:
        node.input[:] = ["photo" if name == "input" else name for name in node.input]
    onnx.save(renamed, tmp_path / "r.onnx")
    want, got = (onnxq.compare(small_model, each, images, layers=True)[0] for each in (path, tmp_path / "r.onnx"))
    assert [tensor.accumulated for tensor in want.tensors] == [tensor.accumulated for tensor in got.tensors]


def test_outputs_that_are_no_numbers_or_not_finite(random):
    zero = OutputTally("z")
    y = np.float32([[-np.inf, 1.0, 2.0]])
    zero.add(y, y, 1)
    assert (zero.result().sqnr, zero.result().largest) == (math.inf, 0) and zero.result().cosine == pytest.approx(1)
    bad = OutputTally("b")
    bad.add(np.float32([[0, 1]]), np.float32([[np.nan, 1]]), 1)
    assert (bad.result().sqnr, bad.result().largest) == (-math.inf, math.inf)
    none = OutputTally("n")
    none.add(np.zeros((2, 3)), np.zeros((2, 4)), 2)
    assert none.result() == type(none.result())("n", None, None, None, None, 1)


def test_text_among_the_outputs_is_left_out(images, tmp_path):
    model = parse(
        "g (float[n,3,8,8] input) => (float[n,3,8,8] p, string[k] s) { p = Relu(input) s = Identity(names) }",
        {"names": np.array(["cat", "dog"], object)},
    )
    onnx.save(model, tmp_path / "t.onnx")
    (found,) = onnxq.compare(tmp_path / "t.onnx", tmp_path / "t.onnx", images)
    assert [output.name for output in found.outputs] == ["p"]
