"""Accuracy over widths, and layer by layer."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import small_network

import onnxq
from onnxq.data.loader import Batch
from onnxq.search import Trials, progressive, widths
from onnxq_cli.main import _group


@pytest.fixture
def trials(small_model, random):
    images = random.normal(size=(40, 3, 8, 8)).astype(np.float32)
    statistics = onnxq.calibrate(small_network(), [images])
    return Trials(small_model, statistics, [Batch(images, np.zeros(40, np.int64))], metrics=("distance",))


def test_widths_are_the_recipe_at_each(trials, random, tmp_path):
    asked = onnxq.Recipe.of("minmax", rounding="nearest")
    found = list(trials.run(widths(asked, (8, 4, 2))))
    assert [trial.name for trial in found] == ["float", "W8A8", "W4A4", "W2A2"]
    distances = [trial.result.values["sqnr"] for trial in found]
    assert distances[1] > distances[2] > distances[3]
    alone = onnxq.quantize(trials.path, trials.statistics, onnxq.Recipe.of("minmax", rounding="nearest", act_bits=4))
    onnxq.save_model(alone.model, tmp_path / "alone.onnx")
    _, measured = onnxq.evaluate([trials.path, tmp_path / "alone.onnx"], trials.batches, metrics=("distance",))
    assert measured.values["sqnr"] == distances[2]
    weights_only = widths(onnxq.Recipe.of(act_bits=None), (3,))
    assert weights_only[0].name == "W3" and weights_only[0].recipe.activations is None


def test_layers_are_switched_one_after_another(trials):
    asked = onnxq.Recipe.of("minmax", rounding="nearest", act_bits=3, weight_bits=3, bit_alloc="none", edge_bits=3)
    layers = trials.layers
    variants = progressive(asked, layers)
    assert [variant.name for variant in variants] == ["all at 8 bits", "+ w1", "+ w2", "+ w3", "+ w4"]
    for count, variant in enumerate(variants):
        plan = onnxq.quantize(trials.path, trials.statistics, variant.recipe).plan
        got = [int(plan.weights[layer.weight_name].bits.max()) for layer in layers]
        assert got == [3] * count + [8] * (len(layers) - count)
    found = list(trials.run(variants))
    distances = [trial.result.values["sqnr"] for trial in found[1:]]
    assert distances[0] > distances[2] > distances[4]
    backwards = progressive(asked, layers[::-1])
    assert [variant.name for variant in backwards[1:]] == ["+ w4", "+ w3", "+ w2", "+ w1"]


def test_the_command(small_model, small_data, tmp_path):
    def onnxq_command(*arguments):
        done = CliRunner().invoke(_group, [str(argument) for argument in arguments])
        return done.exit_code, done.output

    data = ["--data", small_data, "--preset", "cifar"]
    stats = tmp_path / "s.npz"
    assert onnxq_command("calibrate", small_model, *data, "-o", stats)[0] == 0
    arguments = ["search", small_model, "--stats", stats, *data]
    written = ["--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv"]
    code, output = onnxq_command(*arguments, "--widths", "8,3", *written)
    assert code == 0, output
    assert [entry["variant"] for entry in json.loads((tmp_path / "r.json").read_text())] == ["float", "W8A8", "W3A3"]
    assert [row["widths"] for row in csv.DictReader((tmp_path / "r.csv").open())] == ["", "W8A8", "W3A3"]
    code, output = onnxq_command(*arguments, "--progressive", "--from-last", "--csv", tmp_path / "p.csv")
    assert code == 0 and "all at 8 bits" in output
    names = [row["file"] for row in csv.DictReader((tmp_path / "p.csv").open())]
    assert names == ["float", "all at 8 bits", "+ w3", "+ w2"]  # the first and the last layer have 8 bits, whatever
    assert {row["widths"] for row in csv.DictReader((tmp_path / "p.csv").open())} == {""}
    (tmp_path / "learns.yaml").write_text("steps: [gptq]\n")
    done = CliRunner().invoke(_group, [str(part) for part in (*arguments, "--recipe", tmp_path / "learns.yaml")])
    assert "its `steps` look at images" in str(done.exception)
    for wrong, said in (
        (["--widths", "8,x"], "a list of whole numbers"),
        (["--widths", "9"], "2 to 8"),
        (["--from-last"], "goes with"),
        (["--progressive", "--widths", "8,6"], "does not go with"),
    ):
        code, output = onnxq_command(*arguments, *wrong)
        assert code == 2 and said in output
