"""What `onnxq show` says of files of every kind."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import small_network
from onnx import numpy_helper

import onnxq
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
    shown = show(path, statistics)
    weights = {tensor.name: tensor for tensor in shown if tensor.kind == "weight"}
    assert len(weights) == len(plan.weights)
    for tensor, want in zip(weights.values(), plan.weights.values(), strict=True):
        values = want.dequantized()
        assert tensor.first == pytest.approx(values.ravel()[:4].tolist(), rel=1e-6)
        assert tensor.zeros == pytest.approx((values == 0).mean())
        assert tensor.range == pytest.approx((values.min(), values.max()), rel=1e-6)
        assert tensor.bytes > 0 and sum(tensor.widths.values()) == len(values)
        if kind != "fixed-point":  # codes of more than 8 bits are stored in 16
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
        widths = [tensor.widths for tensor in show(path) if tensor.kind == "activation"]
        assert widths[0] == {4: 1}, options


def test_a_float_file_has_nothing_to_show(small_model):
    assert show(small_model) == []
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
    (weight,) = show(tmp_path / "other.onnx")
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
    (weight,) = show(tmp_path / "m.onnx")
    assert (weight.name, weight.format, weight.first, weight.zeros) == ("w", "INT8", (0.5, 0, 1.5, 2), 0.25)
