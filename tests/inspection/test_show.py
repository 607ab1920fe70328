"""What `onnxq show` says of files of every kind."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import small_network
from onnx import numpy_helper

import onnxq
from onnxq.errors import OnnxqError
from onnxq.formats.shifted import ShiftedParams
from onnxq.inspection.show import show
from onnxq_cli.main import _group

KINDS = {
    "affine": {},
    "apot": {"scheme": "apot"},
    "mid-tread": {"scheme": "mid-tread"},
    "fixed-point": {"scheme": "fixed-point", "act_bits": 12, "weight_bits": 12, "placement": "every-op"},
    "dynamic": {"scheme": "minmax", "ranges": "dynamic"},
    "kmeans": {"weights": "kmeans"},
    "qdq": {"format": "qdq"},
    "integer": {"target": "onnxruntime", "weight_bits": 4, "act_bits": 4},
}


def quantized(random, folder, **options):
    model = small_network()
    x = random.normal(size=(8, 3, 8, 8)).astype(np.float32)
    points = options.get("placement") or ("integer" if "target" in options else "inputs")
    statistics = onnxq.calibrate(model, [x], points=points)
    result = onnxq.quantize(model, statistics, onnxq.Recipe.of(**options))
    path = folder / "q.onnx"
    onnxq.save_model(result.model, path)
    return path, result.plan, statistics


@pytest.mark.parametrize("kind", KINDS)
def test_it_shows_what_was_planned(kind, random, tmp_path):
    path, plan, statistics = quantized(random, tmp_path, **KINDS[kind])
    shown = show(path, statistics).tensors
    weights = {tensor.name: tensor for tensor in shown if tensor.kind == "weight"}
    assert len(weights) == len(plan.weights)
    for tensor, want in zip(weights.values(), plan.weights.values(), strict=True):
        values = want.dequantized()
        assert tensor.first == pytest.approx(values.ravel()[:4].tolist(), rel=1e-6)
        assert tensor.zeros == pytest.approx((values == 0).mean())
        assert tensor.range == pytest.approx((values.min(), values.max()), rel=1e-6)
        assert tensor.bytes > 0 and sum(tensor.widths.values()) == len(values)
        assert tensor.bits == pytest.approx(np.mean(np.broadcast_to(want.bits, len(values))), abs=1.01)
    activations = {tensor.name: tensor for tensor in shown if tensor.kind == "activation"}
    for name, params in plan.activations.items():
        if kind == "integer" and (name not in activations or plan.points[name].shares):
            continue  # its ReLU is in the range of the tensor before, or its codes are those of the tensor before
        tensor = activations[name]
        if kind == "dynamic":
            assert tensor.range is None and "each batch" in tensor.format
            continue
        widest = params.fake_quantize(np.float32([[1e30], [-1e30]]) * np.ones((1, 1), np.float32), axis=1)
        if getattr(params, "scale", np.zeros(2)).size == 1:
            assert tensor.range == pytest.approx((widest.min(), widest.max()), rel=1e-5, abs=1e-6)
            assert tensor.threshold[1] == pytest.approx(np.abs(widest).max(), rel=1e-5)
        if name in statistics.tensors:
            assert tensor.deviations[1] == pytest.approx(tensor.threshold[1] / statistics.tensors[name].whole().std[0])


def test_narrow_codes_in_standard_operators(random, tmp_path):
    for options in ({"format": "qdq"}, {"target": "onnxruntime", "weight_bits": 4}):
        path, *_ = quantized(random, tmp_path, act_bits=4, edge_bits=4, act_granularity="per-tensor", **options)
        widths = [tensor.widths for tensor in show(path).tensors if tensor.kind == "activation"]
        assert widths[0] == {4: 1}, options


def test_a_float_file_has_nothing_to_show(small_model):
    assert show(small_model).tensors == () and show(small_model).notes == ("4 of 4 layers have float weights",)
    done = CliRunner().invoke(_group, ["show", str(small_model)])
    assert "nothing is quantized" in done.output


def test_the_command_writes_tables(random, tmp_path):
    path, plan, statistics = quantized(random, tmp_path)
    statistics.save(tmp_path / "s.npz")
    arguments = [
        "show",
        path,
        "--json",
        tmp_path / "s.json",
        "--csv",
        tmp_path / "s.csv",
        "--stats",
        tmp_path / "s.npz",
    ]
    done = CliRunner().invoke(_group, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "bits for each of" in done.output
    report = json.loads((tmp_path / "s.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert len(report) == len(rows) == len(plan.weights) + len(plan.activations)
    assert [row["name"] for row in rows] == [entry["name"] for entry in report]
    assert float(rows[0]["bits"]) == report[0]["bits"]


def test_a_file_of_another_tool(random, tmp_path):
    """INT8 codes under DequantizeLinear, and nothing of onnxq."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    other (float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y) { w = DequantizeLinear <axis = 0> (codes, scale) y = Conv(x, w) }""")
    codes = random.integers(-127, 128, (3, 2, 1, 1)).astype(np.int8)
    scale = np.float32([0.5, 1, 2])
    model.graph.initializer.extend([numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scale, "scale")])
    onnx.save(model, tmp_path / "other.onnx")
    (weight,) = show(tmp_path / "other.onnx").tensors
    assert (weight.format, weight.bits, weight.scale) == ("INT8", 8, (0.5, 2.0))
    assert weight.bytes == 6 + 12


def test_weights_in_nodes_and_weights_that_are_moved(random, tmp_path):
    """Codes in a Constant node that serve two layers are shown once; float weights behind a Transpose are none."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    m (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y) {
    codes = Constant <value = int8[2, 2, 1, 1] {1, 0, 3, 4}> ()  scale = Constant <value = float {0.5}> ()
    w = DequantizeLinear (codes, scale)  a = Conv(x, w)  b = Conv(a, w)  v = Transpose <perm = [1, 0, 2, 3]> (f)  y = Conv(b, v)
    }""")
    model.graph.initializer.append(numpy_helper.from_array(random.normal(size=(2, 2, 1, 1)).astype(np.float32), "f"))
    onnx.save(model, tmp_path / "m.onnx")
    (weight,) = show(tmp_path / "m.onnx").tensors
    assert (weight.name, weight.format, weight.first, weight.zeros) == ("w", "INT8", (0.5, 0, 1.5, 2), 0.25)


def parsed(tmp_path, text, **constants):
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.save(model, tmp_path / "m.onnx")
    return show(tmp_path / "m.onnx")


def test_channels_are_where_the_layer_has_them(random, tmp_path):
    """Of MatMul and a plain Gemm in the last axis, of ConvTranspose in the second."""
    codes = random.integers(-127, 128, (2, 3)).astype(np.int8)
    scale = np.float32([0.5, 1, 2])
    for layer in ("MatMul(x, w)", "Gemm(x, w)"):
        text = (
            "m (float[N, 2] x) => (float[N, 3] y) { w = DequantizeLinear <axis = 1> (codes, scale) y = " + layer + " }"
        )
        (weight,) = parsed(tmp_path, text, codes=codes, scale=scale).tensors
        reach = np.abs(codes * scale).max(axis=0)
        assert weight.widths == {8: 3} and weight.threshold == (reach.min(), reach.max())
    text = "m (float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y) { w = DequantizeLinear <axis = 1> (codes, scale) y = ConvTranspose(x, w) }"
    (weight,) = parsed(tmp_path, text, codes=codes[:, :, None, None], scale=scale).tensors
    assert weight.widths == {8: 3} and weight.threshold == (reach.min(), reach.max())


def test_half_precision_and_trained_with_quantizers(random, tmp_path):
    """float16 scales; float weights that the graph quantizes itself."""
    w = random.normal(size=(3, 2, 1, 1)).astype(np.float16)
    text = """m (float16[N, 2, 4, 4] x) => (float16[N, 3, 4, 4] y) {
    a = QuantizeLinear(x, s, z)  b = DequantizeLinear(a, s, z)  c = QuantizeLinear(w, t, u)  v = DequantizeLinear(c, t, u)
    y = Conv(b, v) }"""
    shown = parsed(tmp_path, text, w=w, s=np.float16(0.25), z=np.uint8(0), t=np.float16(0.125), u=np.int8(0)).tensors
    assert [(tensor.kind, tensor.format, tensor.bits) for tensor in shown] == [
        ("activation", "UINT8", 8),
        ("weight", "INT8", 8),
    ]
    assert shown[0].range == (0, 255 * 0.25) and shown[1].scale == (0.125, 0.125)
    assert shown[1].first == tuple(np.rint(w.ravel()[:4] / 0.125) * 0.125)


def test_layers_in_operator_form(random, tmp_path):
    """The scale of QLinearConv stands behind its weight; that of ConvInteger nowhere."""
    w, zero = random.integers(0, 256, (3, 2, 1, 1)).astype(np.uint8), np.uint8(120)
    text = """m (uint8[N, 2, 4, 4] x) => (uint8[N, 3, 4, 4] y, int32[N, 3, 4, 4] i) {
    y = QLinearConv(x, s, z, w, t, z, s, z)  i = ConvInteger(x, w2, z, z) }"""
    first, second = parsed(tmp_path, text, w=w, w2=w, s=np.float32(0.25), z=zero, t=np.float32(0.5)).tensors
    values = (w.astype(np.float64) - 120) * 0.5
    assert first.range == (values.min(), values.max()) and first.scale == (0.5, 0.5) and first.bytes == 6 + 4 + 1
    assert second.range == (w.min() - 120.0, w.max() - 120.0) and second.scale is None and second.bytes == 6


def test_matrices_in_operator_form_have_a_scale_a_column(random, tmp_path):
    for rows in (4, 3):
        w = random.integers(-127, 128, (rows, 3)).astype(np.int8)
        text = "m (uint8[N, " + str(rows) + "] x) => (uint8[N, 3] y) { y = QLinearMatMul(x, s, z, w, t, u, s, z) }"
        (weight,) = parsed(tmp_path, text, w=w, s=np.float32(0.25), z=np.uint8(0), t=np.float32([0.5, 1, 200]), u=np.int8([0, 0, 0])).tensors  # fmt: skip
        values = w * np.float64([0.5, 1, 200])
        assert weight.range == (values.min(), values.max()) and weight.threshold[0] == np.abs(values).max(axis=0).min()


def test_clamps_count_where_they_clamp(tmp_path):
    """Not of two tensors; whichever place the bound has; not where another reads all codes."""
    text = """m (float[N, 2] x, float[N, 2] b) => (float[N, 2] y, float[N, 2] v, uint8[N, 2] u) {
    a = Clip(x, zero, one)  m = Max(a, b)  q = QuantizeLinear(m, s, z)  y = DequantizeLinear(q, s, z)
    n = Max(zero, x)  p = QuantizeLinear(n, s, h)  v = DequantizeLinear(p, s, h)
    r = QuantizeLinear(b, s, z)  u = Clip(r, three, five)  t = DequantizeLinear(r, s, z) }"""
    constants = {
        "zero": np.float32(0),
        "one": np.float32(1),
        "s": np.float32(0.1),
        "z": np.uint8(0),
        "h": np.uint8(128),
    }
    first, second, third = parsed(tmp_path, text, **constants, three=np.uint8(3), five=np.uint8(5)).tensors
    assert (first.name, first.bits) == ("m", 8) and first.range == pytest.approx((0, 25.5))
    assert second.name == "x" and second.range == pytest.approx((0, 12.7))
    assert third.bits == 8


def test_what_is_no_weight_of_codes(random, tmp_path):
    """A shape, a weight in front, a scale in front of its codes, the zero point of ConvInteger."""
    text = """m (float[2, N] x, uint8[N, 2, 4, 4] c) => (float[3, N] y, float[3, N] v, int32[N, 3, 4, 4] i) {
    y = MatMul(w, x)  k = Cast <to = 1> (codes)  d = Mul(s, k)  v = MatMul(d, x)  i = ConvInteger(c, g, z, h)
    f = ConstantOfShape(shape)  e = MatMul(f, x) }"""
    w, codes = random.normal(size=(3, 2)).astype(np.float32), random.integers(-9, 9, (3, 2)).astype(np.int8)
    shown = parsed(tmp_path, text, w=w, codes=codes, s=np.float32(0.5), g=np.full((3, 2, 1, 1), 128, np.uint8),
                   z=np.uint8(0), h=np.uint8(128), shape=np.int64([3, 2]))  # fmt: skip
    coded, integer = shown.tensors
    assert coded.scale == (0.5, 0.5) and coded.first == tuple((codes * 0.5).ravel()[:4]) and coded.widths == {8: 3}
    assert integer.range == (0, 0) and integer.zeros == 1
    assert shown.notes == ("2 of 4 layers have float weights",)


def test_what_has_no_whole_steps_has_no_range(random, tmp_path):
    """FLOAT8, and a weight without channels."""
    text = """m (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y, float[N, 0, 4, 4] e) {
    a = QuantizeLinear <output_dtype = 17> (x, s)  b = DequantizeLinear(a, s)  y = Conv(b, w)
    v = DequantizeLinear(none, s)  e = Conv(x, v) }"""
    w = random.normal(size=(2, 2, 1, 1)).astype(np.float32)
    shown = parsed(tmp_path, text, s=np.float32(0.5), w=w, none=np.zeros((0, 2, 1, 1), np.int8))
    activation, weight = shown.tensors
    assert (activation.format, activation.range, activation.bits) == ("FLOAT8E4M3FN", None, None)
    assert (weight.values, weight.range, weight.threshold) == (0, None, None)
    assert shown.notes == ("1 of 2 layers have float weights",)
    assert CliRunner().invoke(_group, ["show", str(tmp_path / "m.onnx")]).exit_code == 0


def test_layers_inside_branches_are_told(random, tmp_path):
    text = """m (float[N, 2, 4, 4] x, bool c) => (float[N, 2, 4, 4] y) {
    y = If (c) <then_branch = t () => (float[N, 2, 4, 4] a) { a = Conv(x, w) }, else_branch = e () => (float[N, 2, 4, 4] b) { b = Neg(x) }> }"""
    shown = parsed(tmp_path, text, w=random.normal(size=(2, 2, 1, 1)).astype(np.float32))
    assert shown.notes == ("1 layers inside If, Loop or Scan were not looked at",)


def test_outputs_that_are_moved_show_where_they_end(random, tmp_path):
    path, plan, statistics = quantized(random, tmp_path, scheme="minmax", placement="outputs", bias_correction="outputs",
                                       act_granularity="per-tensor", act_bits=3, bit_alloc="none")  # fmt: skip
    shown = {tensor.name: tensor for tensor in show(path, statistics).tensors}
    moved = [name for name, params in plan.activations.items() if isinstance(params, ShiftedParams)]
    assert moved
    for name in moved:
        params = plan.activations[name]
        channels = np.full((1, len(statistics.tensors[name].minimum)), 1e30, np.float32)
        assert shown[name].range[1] == pytest.approx(params.fake_quantize(channels, axis=1).max(), rel=1e-5)
        assert shown[name].layer != ""


def test_statistics_of_another_network_are_refused(random, tmp_path):
    path, _, statistics = quantized(random, tmp_path)
    with pytest.raises(OnnxqError, match="belong to another model"):
        show(path, replace(statistics, fingerprint="0" * 64))
