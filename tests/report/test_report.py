"""What a report says, by hand; and that names cannot break its page."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from cli.test_cli import onnxq as command
from helpers import parse, small_network

import onnxq
from onnxq.core.metadata_keys import TRIED
from onnxq.data.feeds import FeedLoader, open_feeds
from onnxq.data.loader import Loader
from onnxq.errors import OnnxqError
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import set_metadata
from onnxq.graph.normalize import normalize
from onnxq.report.facts import Flip, Guess, Report
from onnxq.report.flips import flips
from onnxq.report.gather import Asked, gather
from onnxq.report.histograms import BINS, of_statistics, of_values
from onnxq.report.page import page
from onnxq.report.search import tried_by

pytest.importorskip("bokeh")


@pytest.fixture
def loader(small_model, small_data):
    preprocessing = onnxq.Preprocessing.from_metadata(onnxq.graph.model_files.metadata(onnx.load(small_model)))
    data = onnxq.open_dataset(str(small_data), "test")
    return Loader(data, preprocessing, range(20), 8)


def made(model, loader, path, **options):
    result = onnxq.quantize(model, None, onnxq.Recipe.of(**options), images=list(loader.images))
    onnxq.save_model(result.model, path)
    return result


@pytest.mark.parametrize("kind", ["ours", "integer", "weights", "apot"])
def test_rows_are_what_show_and_compare_say(small_model, loader, tmp_path, kind):
    options = {
        "ours": {"bits": 4},
        "integer": {"act_bits": 8, "target": "onnxruntime"},
        "weights": {"weight_bits": 3, "act_bits": None},
        "apot": {"weights": "apot", "scheme": "apot"},
    }[kind]
    if "bits" in options:
        options = {"weight_bits": 4, "act_bits": 4}
    path = tmp_path / "q.onnx"
    result = made(small_model, loader, path, **options)
    report = gather(Asked(path, small_model, ("classification", "agreement")), loader)
    shown = {tensor.layer: tensor for tensor in onnxq.show(path).tensors if tensor.kind == "weight"}
    (compared,) = onnxq.compare(small_model, path, list(loader.images), layers=True)
    tensors = {tensor.layer: tensor for tensor in compared.tensors}
    assert [layer.name for layer in report.layers] == list(result.plan.layers)
    for layer in report.layers:
        own = shown[layer.name]
        assert (layer.widths, layer.weight.range) == (own.widths, own.range)
        if layer.name in tensors:
            assert (layer.alone, layer.accumulated) == (tensors[layer.name].alone, tensors[layer.name].accumulated)
        assert layer.weight.levels == own.levels
        assert sum(layer.weight.quantized.shares) == pytest.approx(1, abs=0.02)
        assert sum(layer.read.exact.shares) == pytest.approx(1, abs=0.02)
        assert (layer.read_bits is None) == (kind == "weights")
    weights = [tensor for tensor in onnxq.show(path).tensors if tensor.kind == "weight"]
    sizes = sum(tensor.bytes for tensor in weights) / path.stat().st_size
    assert sum(layer.size for layer in report.layers) == pytest.approx(sizes)
    assert sum(layer.values for layer in report.layers) == sum(tensor.values for tensor in weights)
    assert sum(layer.work for layer in report.layers) == pytest.approx(1)
    facts = dict(report.facts)
    assert facts["measured on"] == f"20 images of {loader.dataset.name}"
    assert ("integers" in {layer.computes for layer in report.layers}) == (kind == "integer")
    assert f"{100 * compared.outputs[0].same_argmax:.2f} %" in facts["agreement"]
    assert report.flipped == round(20 * (1 - compared.outputs[0].same_argmax))
    assert "onnxq quantize" in report.command and "-n 20" in report.command


@pytest.mark.parametrize("kind", ["qdq", "operators", "dynamic"])
def test_files_of_other_tools(small_model, loader, tmp_path, kind):
    """Of ONNX Runtime's own: every layer has a row, with its bits, histograms of both networks, and its share."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):
        batches = iter(list(loader.images))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"input": batch}

    path = tmp_path / "other.onnx"
    if kind == "dynamic":
        quantize_dynamic(small_model, path, op_types_to_quantize=["Conv", "Gemm", "MatMul"])
    else:
        form = QuantFormat.QDQ if kind == "qdq" else QuantFormat.QOperator
        quantize_static(small_model, path, Reader(), quant_format=form, per_channel=True)
    report = gather(Asked(path, small_model, ("distance",)), loader)
    exact = [node for node in small_network().graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(report.layers) == len(exact)
    for layer in report.layers:
        assert layer.bits == 8 and layer.work is not None, layer.name
        assert layer.weight.exact is not None and layer.weight.quantized is not None
    assert sum(layer.work for layer in report.layers) == pytest.approx(1)
    assert not report.recipe and "Make it again" not in page(report)


def test_layers_of_other_kinds_have_rows(random, tmp_path):
    """ConvTranspose, MatMul of sequences, a weight that two layers share, one layer in float."""
    model = parse(
        """g (float[n,4,6,6] x) => (float[n,8,7] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)  b = Relu(a)  c = Conv <pads = [1,1,1,1]> (b, w)
            d = ConvTranspose <strides = [2,2]> (c, t)  e = Conv(d, s)
            r = Reshape(e, shape)  y = MatMul(r, m)
        }""",
        {
            "w": random.normal(size=(4, 4, 3, 3)).astype(np.float32),
            "t": random.normal(size=(4, 8, 2, 2)).astype(np.float32),
            "s": random.normal(size=(8, 8, 1, 1)).astype(np.float32),
            "m": random.normal(size=(144, 7)).astype(np.float32),
            "shape": np.array([0, 8, 144]),
        },
    )
    onnx.save(model, tmp_path / "g.onnx")
    batch = random.normal(size=(8, 4, 6, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", batch)
    recipe = onnxq.Recipe.of(weight_bits=4, act_bits=8, overrides=[{"layers": "Conv_e", "skip": True}])
    result = onnxq.quantize(model, None, recipe, images=[batch])
    onnxq.save_model(result.model, tmp_path / "q.onnx")
    feeds = FeedLoader.of(open_feeds(str(tmp_path / "x.npy")), None, 4)
    report = gather(Asked(tmp_path / "q.onnx", tmp_path / "g.onnx", ("distance",)), feeds)
    rows = {layer.name: layer for layer in report.layers}
    assert [layer.op for layer in report.layers] == ["Conv", "Conv", "ConvTranspose", "Conv", "Gemm"]
    products = [144 * 36, 144 * 36, 128 * 36, 64 * 144, 1008 * 8]
    for layer, count in zip(report.layers, products, strict=True):
        assert layer.work == pytest.approx(count / sum(products))
    assert [layer.values for layer in report.layers] == [72, 72, 128, 64, 1008]
    assert rows["Conv_e"].computes.startswith("float: its weight") and rows["Conv_e"].bits is None
    assert rows["Conv_e"].size == pytest.approx(256 / (tmp_path / "q.onnx").stat().st_size)
    assert rows["ConvTranspose_d"].bits is not None


def test_levels_of_activations_are_what_the_quantizer_makes(small_model, loader, tmp_path):
    """Of one channel, found by running it over a ramp."""
    for options in ({"act_bits": 3}, {"scheme": "apot", "weights": "apot", "act_bits": 4}, {"scheme": "mid-tread"}):
        path = tmp_path / "q.onnx"
        made(small_model, loader, path, act_granularity="per-tensor", rounding="nearest", **options)
        model = onnx.load(path)
        (node,) = [each for each in model.graph.node if each.input and each.input[0] == "input"]
        tensor = next(each for each in onnxq.show(path).tensors if each.kind == "activation" and each.name == "input")
        del model.graph.node[:], model.graph.output[:]
        model.graph.node.append(node)
        model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
        ramp = np.linspace(-10, 10, 3 * 8 * 8 * 200, dtype=np.float32).reshape(-1, 3, 8, 8)
        from onnxq.runtime.sessions import make_session

        (got,) = make_session(model, "cpu").run(None, {"input": ramp})
        np.testing.assert_allclose(np.unique(got), np.unique(np.float32(tensor.levels)), rtol=1e-5, atol=1e-7)


def test_work_is_counted_by_hand(small_model, loader, tmp_path):
    made(small_model, loader, tmp_path / "q.onnx")
    report = gather(Asked(tmp_path / "q.onnx", small_model, ("distance",)), loader)
    session = onnx.shape_inference.infer_shapes(small_network())
    shapes = {each.name: [d.dim_value for d in each.type.tensor_type.shape.dim] for each in session.graph.value_info}
    products = {}
    for node in session.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight = next(t for t in session.graph.initializer if t.name == node.input[1])
            places = np.prod(shapes[node.output[0]][2:]) if node.op_type == "Conv" else 1
            products[node.output[0]] = np.prod(weight.dims) * places
    total = sum(products.values())
    graph = to_graph(small_network())
    normalize(graph)
    outputs = {layer.name: layer.output for layer in network_of(graph).layers}
    for layer in report.layers:
        assert layer.work == pytest.approx(products[outputs[layer.name]] / total)


def test_images_whose_class_changed(small_model, loader, tmp_path):
    """Every class is moved by one: all images flip, the surest first, with their pictures and labels."""
    model = small_network()
    last = next(node for node in reversed(model.graph.node) if node.op_type == "Gemm")
    for tensor in model.graph.initializer:
        if tensor.name in last.input[1:]:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.roll(values, 1, axis=0), tensor.name))
    onnx.save(model, tmp_path / "moved.onnx")
    found, count = flips(small_model, tmp_path / "moved.onnx", loader, "cpu")
    assert count == len(found) == 20
    assert [flip.exact.share for flip in found] == sorted((flip.exact.share for flip in found), reverse=True)
    assert {flip.label for flip in found} == {f"class{number}" for number in range(5)}
    assert all(flip.picture[:2] == b"\xff\xd8" for flip in found)
    none, count = flips(small_model, small_model, loader, "cpu")
    assert (none, count) == ((), 0)


def test_histograms_are_shares(random):
    values = random.normal(size=(4, 1000)).astype(np.float32)
    found = of_values(values, -5, 5)
    assert sum(found.shares) == pytest.approx(1, abs=1e-3) and len(found.shares) == BINS
    assert of_values(values[:0], -5, 5) is None and of_values(np.ones(5), 1, 1) is None
    statistics = onnxq.calibrate(small_network(), [np.abs(random.normal(size=(4, 3, 8, 8))).astype(np.float32)])
    whole = of_statistics(statistics.tensors["input"])
    assert whole.low >= 0 and sum(whole.shares) == pytest.approx(1, abs=1e-3)


HOSTILE = "</script><script>alert(1)</script>\"'&<b>"


def test_names_cannot_break_the_page(small_model, loader, tmp_path):
    made(small_model, loader, tmp_path / "q.onnx")
    report = gather(Asked(tmp_path / "q.onnx", small_model, ("distance",)), loader)
    guess = Guess(HOSTILE, 1.0)
    report = replace(
        report,
        title=HOSTILE,
        facts=((HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
        layers=tuple(replace(layer, name=HOSTILE, reason=HOSTILE) for layer in report.layers),
        recipe=HOSTILE,
        command=HOSTILE,
        flips=(Flip(HOSTILE, HOSTILE, guess, guess),),
    )
    text = page(report)
    assert "<script>alert" not in text and "&<b>" not in text


def test_a_page_of_nothing_much():
    assert "Nothing." in page(Report("empty.onnx", (), ()))


def test_the_command(small_model, small_data, loader, tmp_path):
    path, out = tmp_path / "q.onnx", tmp_path / "report.html"
    made(small_model, loader, path)
    said, _ = command("report", path, "--float", small_model, "--data", small_data, "-o", out)
    assert "20 of 20 images" in said and out.read_text().startswith("<!DOCTYPE html>")
    _, error = command("report", path, "--float", small_model, "--data", small_data, "-o", path, ok=False)
    assert "cannot write" in error
    other = tmp_path / "other.onnx"
    onnx.save(small_network(1), other)
    stats = onnxq.calibrate(other, list(loader.images))
    stats.save(tmp_path / "other.npz")
    arguments = ("report", path, "--float", small_model, "--data", small_data, "-o", out)
    _, error = command(*arguments, "--stats", tmp_path / "other.npz", ok=False)
    assert "another model" in error
    (tmp_path / "none").mkdir()
    _, error = command(*arguments, "--sweep", tmp_path / "none", ok=False)
    assert "no results of `onnxq sweep`" in error
    path.write_bytes(path.read_bytes()[:500])
    _, error = command(*arguments, ok=False)
    assert "truncated" in error and out.is_file()


def test_without_bokeh(small_model):
    block = "import sys; sys.modules['bokeh'] = None; from onnxq_cli import main; main()"
    arguments = ["report", str(small_model), "--float", str(small_model), "--data", "demo", "-o", "x.html"]
    done = subprocess.run([sys.executable, "-c", block, *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'onnxq[report]'" in done.stderr


def test_what_a_search_tried(small_model, small_data, loader, tmp_path):
    result = made(small_model, loader, tmp_path / "q.onnx")
    set_metadata(result.model, {TRIED: json.dumps([{"bits": 4.0, "size": 100, "lost": 0.5, "error": 0.1}])})
    onnxq.save_model(result.model, tmp_path / "q.onnx")
    report = gather(Asked(tmp_path / "q.onnx", small_model, ("distance",)), loader)
    assert [(each.name, each.bytes, each.value) for each in report.search.tried] == [("4.00 bits", 100, -0.5)]
    plan = tmp_path / "sweep.yaml"
    plan.write_text(f"models: [{small_model}]\ndata: {small_data}\nrecipes: [{{weight_bits: 3}}, {{weight_bits: 5}}]\n")
    command("sweep", plan, "-o", tmp_path / "results")
    asked = Asked(tmp_path / "q.onnx", small_model, ("classification",), results=tmp_path / "results")
    report = gather(asked, loader)
    assert len(report.search.tried) == 2 and report.search.own.name == "q.onnx"
    assert "this file" in page(report)
    with pytest.raises(OnnxqError, match="no results"):
        tried_by(tmp_path / "other.onnx", tmp_path / "results", {})
    with pytest.raises(OnnxqError, match="no such folder"):
        tried_by(small_model, tmp_path / "nowhere", {})
    assert tried_by(small_model, None, {TRIED: "[{}]"}) == []
    few = replace(loader, indices=range(10))
    assert gather(asked, few).search.own is None  # measured on other images than those
