"""What review found: statistics say how they were made, layers inside subgraphs are named, messages speak of options."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from cli.test_cli import onnxq as command
from helpers import images, parse, run, small_network

import onnxq
from onnxq.core.statistics import Origin
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError


def test_statistics_remember_how_they_were_made(tmp_path):
    preprocessing = Preprocessing((3, 8, 8), None, None).to_metadata()
    seen = onnxq.calibrate(small_network(), [images(4), images(7)], points="outputs", preprocessing=preprocessing)
    assert seen.origin == Origin("outputs", 7, preprocessing)
    seen.save(tmp_path / "s.npz")
    assert onnxq.Statistics.load(tmp_path / "s.npz").origin == seen.origin
    assert seen.merge(seen).origin == seen.origin
    result = onnxq.quantize(small_network(), seen, onnxq.Recipe())
    assert "ra" in result.plan.activations, "at the points of the statistics"
    assert "input" not in result.plan.activations
    with pytest.raises(OnnxqError, match="with the same `points`"):
        onnxq.quantize(small_network(), seen, onnxq.Recipe.of(placement="inputs"))


def test_statistics_of_the_first_format_are_read(tmp_path):
    """They do not say where they were taken: the recipe does, as of old."""
    path = tmp_path / "s.npz"
    onnxq.calibrate(small_network(), [images(4)]).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"]))
    del meta["origin"]
    arrays["meta"] = np.array(json.dumps({**meta, "format": 1}))
    np.savez_compressed(path, **arrays)
    seen = onnxq.Statistics.load(path)
    assert seen.origin == Origin()
    onnxq.quantize(small_network(), seen, onnxq.Recipe())
    with pytest.raises(OnnxqError, match="with the same `points`"):
        onnxq.quantize(small_network(), seen, onnxq.Recipe.of(placement="outputs"))


def test_other_preprocessing_is_refused(tmp_path, small_model, small_data):
    stats, quantized = tmp_path / "s.npz", tmp_path / "q.onnx"
    command("calibrate", small_model, "--data", small_data, "-n", 10, "-o", stats)
    asked = ["quantize", small_model, "--stats", stats, "--renormalize", "--data", small_data, "-o", quantized]
    command(*asked)
    _, error = command(*asked, "--preset", "demo", ok=False)
    assert "preprocessed as" in error
    assert "--preset" in error


def test_messages_of_the_command_line_name_options(tmp_path, small_model, small_data):
    stats = tmp_path / "s.npz"
    command("calibrate", small_model, "--data", small_data, "-n", 10, "-o", stats)
    for arguments, option in (
        (["--act-bits", "9"], "--act-bits must lie between 2 and 8"),
        (["--placement", "outputs"], "with the same --placement"),
        (["--bits", "4.5", "--bit-alloc", "none"], "--weight-bits can be a fraction only"),
        (["--renormalize"], "give --data"),
    ):
        _, error = command("quantize", small_model, "--stats", stats, *arguments, "-o", tmp_path / "q.onnx", ok=False)
        assert option in error
        assert "`" not in error.replace("`onnxq calibrate`", "")


def test_layers_inside_subgraphs_are_named():
    model = parse(
        """g (float[n,2,4,4] input, bool flag) => (float[n,2,4,4] y) {
            a = Conv (input, w)
            y = If (flag) <
                then_branch = yes () => (float[n,2,4,4] t) { t = Conv (a, w) },
                else_branch = no () => (float[n,2,4,4] e) { e = Relu (a) }
            >
        }""",
        {"w": np.ones((2, 2, 1, 1), np.float32)},
    )
    result = onnxq.quantize(model, None, onnxq.Recipe.of(act_bits=None, weight_bits=4))
    assert "1 layers inside If, Loop or Scan: their weights alone are quantized" in result.notes
    assert [note for note in result.notes if "without statistics" in note]
    onnx.checker.check_model(result.model)
    x = images(2, (2, 4, 4))
    got = run(result.model, {"input": x, "flag": np.array(True)}, native=False)[0]
    np.testing.assert_allclose(got, run(model, {"input": x, "flag": np.array(True)}, native=False)[0], rtol=0.2)


def test_images_that_come_once_are_refused_where_they_are_needed_twice():
    network = small_network()
    seen = onnxq.calibrate(network, [images(32)])
    recipe = onnxq.Recipe.of(rounding="nearest", renormalize=True)
    with pytest.raises(OnnxqError, match="gone through 2 times"):
        onnxq.quantize(network, seen, recipe, images=iter([images(32)]))


def test_outputs_are_matched_on_large_batches_unless_the_model_fixes_them():
    network = small_network()
    seen = onnxq.calibrate(network, [images(64)])
    recipe = onnxq.Recipe.of(rounding="nearest", renormalize=True, act_bits=3, weight_bits=3)
    together = onnxq.quantize(network, seen, recipe, images=[images(64)], hold_back=0).model
    parts = [images(64)[start : start + 4] for start in range(0, 64, 4)]
    apart = onnxq.quantize(network, seen, recipe, images=parts, hold_back=0).model
    assert together.SerializeToString() == apart.SerializeToString()
    for value in (network.graph.input[0], network.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 16
    seen = onnxq.calibrate(network, [images(16)])
    notes = onnxq.quantize(network, seen, recipe, images=[images(16)]).notes
    assert [note for note in notes if "batches of 16, which the model fixes" in note]
