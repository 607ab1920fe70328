"""Rounding by error feedback, end to end: real graphs, every format, and what can go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from helpers import images, parse, run, small_network

import onnxq
from onnxq.clipping import CLIPPINGS
from onnxq.core.feeds import joined
from onnxq.errors import OnnxqError
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import metadata
from onnxq.graph.normalize import normalize
from onnxq.recipe import Recipe
from onnxq.recipe.parts import Weights
from onnxq.recipe.steps import STEPS
from onnxq.refine.gptq import ErrorFeedback
from onnxq.refine.held_back import HeldBack
from onnxq.refine.refinement import Refinement
from onnxq.rounding.moments import together

RANDOM = np.random.default_rng(0)
BATCHES = [images(16, seed=seed) for seed in range(6)]
TESTS = images(64, seed=99)


def normal(*shape):
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return small_network()


def away(network, model):
    """Squared error of the outputs on images that nothing was estimated on, relative to their variance."""
    want, got = (run(each, {"input": TESTS}, native=False)[0] for each in (network, model))
    return np.square(want - got).sum() / np.square(want - want.mean(axis=0)).sum()


def quantized(network, recipe, batches=BATCHES, **more):
    return onnxq.quantize(network, None, recipe, images=batches, provider="cpu", **more)


FORMATS = [
    {},
    {"bit_alloc": "none"},
    {"weight_granularity": "per-tensor", "bit_alloc": "activations"},
    {"symmetric": True, "bit_alloc": "none"},
    {"weights": "apot"},
    {"weights": "kmeans"},
    {"scheme": "fixed-point", "act_bits": 8, "weight_bits": 4},
    {"scheme": "mid-tread"},
    {"format": "qdq"},
    {"placement": "integer", "act_bits": 8, "weight_bits": 8, "edge_bits": 8},
    {"placement": "outputs"},
    {"placement": "every-op", "act_bits": 6},
    {"ranges": "dynamic", "scheme": "aciq-laplace"},
    {"act_bits": None},
    {"act_bits": None, "weights": "pot"},
    {"weight_correction": "none"},
]


@pytest.mark.parametrize("fields", FORMATS, ids=str)
def test_every_format_of_weights_is_closer_to_the_float_network(fields):
    network = small_network(1)
    asked = {"act_bits": 4, "weight_bits": 3, "edge_bits": 4, **fields}
    points = Recipe.of(**asked).resolved_points
    statistics = None if asked["act_bits"] is None else onnxq.calibrate(network, BATCHES, points=points)
    models = {}
    for rounding in ("nearest", "gptq"):
        recipe = Recipe.of(**asked, rounding=rounding)
        models[rounding] = onnxq.quantize(network, statistics, recipe, images=BATCHES, provider="cpu")
        onnx.checker.check_model(models[rounding].model, full_check=True)
    assert [name for name, _ in models["gptq"].distances.steps] == ["start", "gptq"]
    if asked["weight_bits"] < 8:  # at 8 bits there is next to nothing to gain
        assert away(network, models["gptq"].model) < away(network, models["nearest"].model)


def test_fixed_point_weights_stay_on_steps_that_are_powers_of_two(network):
    plan = quantized(network, Recipe.of("fixed-point", act_bits=8, weight_bits=4)).plan
    for weight in plan.weights.values():
        assert (np.exp2(np.rint(np.log2(weight.params.scale))) == weight.params.scale).all()


def test_one_command_calibrates_rounds_and_tells_how_far_it_is(network):
    result = quantized(network, Recipe.of(act_bits=4, weight_bits=3))
    (_, start), (name, end) = result.distances.steps
    assert name == "gptq"
    assert end < start
    stored = json.loads(metadata(result.model)["onnxq.distances"])
    assert stored == {"held_back_images": 12, "steps": [["start", start], ["gptq", end]]}
    assert metadata(result.model)["onnxq.calibration_images"] == "84"
    assert result.notes == ()


def test_widths_stay_those_asked_for(network):
    plan = quantized(network, Recipe.of(act_bits=8, weight_bits=3, edge_bits=3)).plan
    for weight in plan.weights.values():
        assert weight.params.widths.sum() == 3 * len(weight.codes)
        assert (weight.codes.reshape(len(weight.codes), -1).max(axis=1) < 2**weight.params.widths).all()


def test_bits_can_be_allocated_by_what_layers_make(network):
    weights = Weights(allocation="by-error", bits=2.5)
    by_error, plain = (quantized(network, Recipe(weights=each)).plan for each in (weights, Weights(bits=2.5)))
    inner = "w3"
    assert by_error.weights[inner].params.widths.sum() == plain.weights[inner].params.widths.sum()
    assert (by_error.weights[inner].params.widths != plain.weights[inner].params.widths).any()


@dataclass(frozen=True)
class Spoil(Refinement):
    """Makes any network worse."""

    passes: ClassVar[int] = 1

    def apply(self, draft, images, run):
        return draft.with_biases({layer.name: np.full(layer.channels, 3.0) for layer in draft.layers})


def test_a_step_that_makes_it_worse_is_undone_and_said_so(network):
    STEPS.register("spoil")(Spoil)
    recipe = Recipe.of(act_bits=4, weight_bits=3, steps=["gptq", "spoil"])
    good, spoilt = quantized(network, Recipe.of(act_bits=4, weight_bits=3, steps=["gptq"])), quantized(network, recipe)
    assert [note for note in spoilt.notes if "step spoil was undone" in note]
    assert spoilt.model.graph.SerializeToString() == good.model.graph.SerializeToString()
    assert quantized(network, recipe, hold_back=0).distances.images == 0


def test_dead_and_constant_channels_shared_weights_and_biases_that_are_computed():
    model = parse(
        """g (float[n,4,6,6] input) => (float[n,5,6,6] y) {
            a = Conv <pads = [1,1,1,1]> (input, w1, b1)
            r = Relu (a)
            b = Conv <pads = [1,1,1,1], group = 6> (r, dw)
            s = Relu (b)
            c = Conv (s, w2)
            d = Conv (c, w2)
            m = Add (offset, offset)
            e = Conv <auto_pad = "SAME_UPPER"> (d, w3, m)
            y = Conv (e, w4)
        }""",
        {
            "w1": normal(6, 4, 3, 3), "dw": normal(6, 1, 3, 3), "w2": normal(6, 6, 1, 1), "w3": normal(6, 6, 2, 2),
            "b1": np.float32([0, -100, 5, 0, 0, 0]), "offset": normal(6), "w4": np.zeros((5, 6, 1, 1), np.float32),
        },
    )  # fmt: skip
    x = [RANDOM.standard_normal((16, 4, 6, 6)).astype(np.float32) for _ in range(4)]
    for batch in x:
        batch[:, 3] = 0.5  # a constant channel, beside one that is dead behind its ReLU
    result = onnxq.quantize(model, None, Recipe.of(act_bits=8, weight_bits=4), images=x, provider="cpu")
    onnx.checker.check_model(result.model, full_check=True)
    assert not run(result.model, {"input": x[0]}, native=False)[0].any(), "a layer of zeros makes zeros"
    assert [note for note in result.notes if "its bias is computed by the graph" in note]
    assert set(result.plan.weights) == {"w1", "dw", "w2", "w3", "w4"}


def test_one_axis_several_outputs_and_shapes_that_the_graph_computes():
    model = parse(
        """g (float[n,3,12] input) => (float[n,4,12] y, float[n,8] z) {
            a = Conv <pads = [1,1]> (input, w1)
            r = Relu (a)
            y = Conv (r, w2)
            p = AveragePool <kernel_shape = [6], strides = [6]> (y)
            shape = Shape <end = 1> (input)
            target = Concat <axis = 0> (shape, minus)
            z = Reshape (p, target)
        }""",
        {"w1": normal(5, 3, 3), "w2": normal(4, 5, 1), "minus": np.int64([-1])},
    )
    x = [RANDOM.standard_normal((32, 3, 12)).astype(np.float32) for _ in range(4)]
    result = onnxq.quantize(model, None, Recipe.of(act_bits=None, weight_bits=3), images=x, provider="cpu")
    assert result.distances.steps[1][1] < result.distances.steps[0][1]


def test_few_images_and_single_ones(network):
    """Fewer images than weights: damped; with one image there is nobody to judge, and nothing is held back."""
    for batches in ([BATCHES[0][:1]], [BATCHES[0][:3]], [BATCHES[0][i : i + 1] for i in range(9)]):
        result = quantized(network, Recipe.of(act_bits=8, weight_bits=4), batches)
        assert np.isfinite(run(result.model, {"input": TESTS}, native=False)[0]).all()
        assert result.distances.images == 0


def test_errors_are_plain(network):
    recipe = Recipe.of(act_bits=8, weight_bits=4)
    seen = onnxq.calibrate(network, BATCHES)
    bad = images(16)
    bad[3, 0, 0, 0] = np.nan
    with pytest.raises(OnnxqError, match="NaN or infinite"):
        onnxq.quantize(network, seen, recipe, images=[bad], provider="cpu")
    with pytest.raises(OnnxqError, match="no images"):
        onnxq.quantize(network, seen, recipe, images=[], provider="cpu")
    with pytest.raises(OnnxqError, match="cannot run on images of shape"):
        onnxq.quantize(network, seen, recipe, images=[images(4, (3, 9, 9))], provider="cpu")
    with pytest.raises(OnnxqError, match="need some"):
        onnxq.quantize(network, seen, Recipe.of(rounding="gptq"), provider="cpu")
    with pytest.raises(OnnxqError, match=r"gptq\.alpha"):
        Recipe.of(steps=[{"gptq": {"alpha": 2}}])

    def fails():
        yield BATCHES[0]
        raise OnnxqError("image 17 cannot be decoded")

    with pytest.raises(OnnxqError, match="image 17"):
        onnxq.quantize(network, seen, recipe, images=fails(), provider="cpu")


def test_a_model_of_a_fixed_batch_size_is_held_back_by_batches(network):
    fixed = onnx.ModelProto()
    fixed.CopyFrom(network)
    for value in (fixed.graph.input[0], fixed.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    batches = [images(4, seed=seed) for seed in range(16)]
    result = onnxq.quantize(fixed, None, Recipe.of(act_bits=8, weight_bits=4), images=batches, provider="cpu")
    assert result.distances.images == 8


def test_held_back_images_are_in_no_other_set():
    x = np.arange(40, dtype=np.float32).reshape(40, 1)
    held = HeldBack([x[:7], x[7:8], x[8:30], x[30:]], every=8)
    seen: Any = joined(list(held))
    kept: Any = joined(held.kept)
    seen, kept = seen.ravel(), kept.ravel()
    assert kept.tolist() == [7, 15, 23, 31, 39]
    assert sorted([*seen, *kept]) == x.ravel().tolist()


SCRIPT = """
import sys, numpy as np, onnxq
from pathlib import Path
from typing import ClassVar
sys.path.insert(0, {tests!r})
from helpers import images, small_network
x = [images(32, seed=seed) for seed in range(3)]
recipe = onnxq.Recipe.of(act_bits=4, weight_bits=3)
Path(sys.argv[1]).write_bytes(onnxq.quantize(small_network(), None, recipe, images=x, provider="cpu")
    .model.SerializeToString(deterministic=True))
"""


def test_the_same_file_at_any_number_of_threads(tmp_path):
    """One processor that the process may use, and all of them."""
    files = []
    for name, prefix in (("one", ["taskset", "-c", "0"]), ("all", []), ("again", [])):
        files.append(tmp_path / name)
        script = SCRIPT.format(tests=str(Path(__file__).parents[1]))
        subprocess.run([*prefix, sys.executable, "-c", script, str(files[-1])], check=True)
    assert len({file.read_bytes() for file in files}) == 1


def test_parameters_of_the_step_are_used(network):
    """Codes differ where alpha, damping, positions or the seed do."""
    seen = onnxq.calibrate(network, BATCHES)
    plans = [
        onnxq.quantize(network, seen, Recipe.of(act_bits=3, weight_bits=3, steps=[{"gptq": own}]), images=BATCHES).plan
        for own in ({}, {"alpha": 0}, {"alpha": 1}, {"damping": 1e6}, {"positions": 50}, {"positions": 50, "seed": 1})
    ]
    codes = {np.concatenate([weight.codes.ravel() for weight in plan.weights.values()]).tobytes() for plan in plans}
    assert len(codes) == len(plans)


def test_where_the_graph_computes_the_bias_weights_make_up_for_the_mean():
    model = parse(
        """g (float[n,8,6,6] input) => (float[n,4,6,6] y) {
            m = Add (offset, offset)
            y = Conv (input, w, m)
        }""",
        {"w": normal(4, 8, 1, 1), "offset": normal(4)},
    )
    x = [(images(16, (8, 6, 6), seed) * 0.1 + 3).astype(np.float32) for seed in range(4)]
    shifts = {}
    for rounding in ("nearest", "gptq"):
        recipe = Recipe.of(act_bits=None, weight_bits=2, edge_bits=2, rounding=rounding, weight_correction="none")
        made = onnxq.quantize(model, None, recipe, images=x, hold_back=0, provider="cpu").model
        want, got = (run(each, {"input": x[0]}, native=False)[0].mean(axis=(0, 2, 3)) for each in (model, made))
        shifts[rounding] = np.abs(want - got).max()
    assert shifts["gptq"] < 0.3 * shifts["nearest"]


@dataclass
class Inputs:
    """What a layer reads in two networks: here both the same."""

    batches: list

    @property
    def images(self):
        return sum(map(len, self.batches))

    def inputs(self, layer):
        return [(batch, batch) for batch in self.batches]


def test_parts_that_judge_each_other_are_of_different_images():
    """Images are of one colour, light and dark in turns: within a part, nothing varies."""
    graph = to_graph(small_network())
    normalize(graph)
    (layer, *_) = network_of(graph).layers
    layer = replace(layer, pads=(0, 0, 0, 0))
    batches = [np.ones((3, 3, 8, 8), np.float32) for _ in range(4)]
    for number, image in enumerate(np.concatenate([list(batch) for batch in batches])):
        batches[number // 3][number % 3] = image * (number % 2)
    parts = ErrorFeedback().moments(layer, Inputs(batches), 0)
    assert len(parts) == 2
    for part in parts:
        assert np.abs(part.own).max() < 1e-6
    assert np.abs(together(parts).own).max() > 0.2


def test_the_distance_is_the_squared_error_by_the_variance(network):
    held = HeldBack(BATCHES)
    kept = joined(held.kept)
    (_, start), (_, end) = quantized(network, Recipe.of(act_bits=4, weight_bits=3)).distances.steps

    final = quantized(network, Recipe.of(act_bits=4, weight_bits=3)).model
    want, got = (run(each, {"input": kept}, native=False)[0].astype(np.float64) for each in (network, final))
    relative = np.square(want - got).sum() / np.square(want - want.mean(axis=0)).sum()
    assert end == pytest.approx(relative, rel=1e-3)
    assert start > end


def test_ranges_of_smallest_error_where_images_round_weights():
    def rule(recipe, **given):
        return CLIPPINGS.name_of(recipe.resolved(**given).activations.clipping)

    assert rule(Recipe()) == "aciq"
    assert rule(Recipe(), has_images=True) == "mse"
    assert rule(Recipe.of(rounding="gptq")) == "mse"
    assert rule(Recipe.of(rounding="nearest"), has_images=True) == "aciq"
    assert rule(Recipe.of("percentile"), has_images=True) == "percentile"
    assert rule(Recipe.of(bias_correction="none"), has_images=True) == "aciq"


@pytest.mark.parametrize("size", [1.0, 1e18, 1e-25])
def test_a_layer_that_reads_a_constant_and_numbers_that_cannot_be_squared(size):
    model = parse(
        """g (float[n,3,8,8] input) => (float[n,4,8,8] y) {
            k = Conv (constant, w2)
            a = Conv <pads = [1,1,1,1]> (input, w1)
            r = Relu (a)
            c = Conv (r, w2)
            y = Add (c, k)
        }""",
        {"w1": normal(6, 3, 3, 3), "w2": normal(4, 6, 1, 1), "constant": normal(1, 6, 8, 8)},
    )
    x = [batch * np.float32(size) for batch in BATCHES]
    result = onnxq.quantize(model, None, Recipe.of(act_bits=8, weight_bits=4), images=x, provider="cpu")
    assert any("rounded to the nearest" in note for note in result.notes)
    assert np.isfinite(run(result.model, {"input": x[0]}, native=False)[0]).all()


def test_biases_that_were_corrected_are_not_corrected_twice(network):
    seen = onnxq.calibrate(network, BATCHES)
    once, behind, twice = (
        onnxq.quantize(network, seen, Recipe.of(act_bits=2, weight_bits=2, steps=steps), images=BATCHES, hold_back=0)
        for steps in (["gptq"], ["correct-biases", "gptq"], ["gptq", "gptq"])
    )
    for name, bias in once.plan.biases.items():
        np.testing.assert_array_equal(behind.plan.biases[name], bias)
    everything = {"input": np.concatenate(BATCHES)}
    want, got = (run(model, everything, native=False)[0].mean(axis=0) for model in (network, twice.model))
    np.testing.assert_allclose(got, want, atol=0.02)


def test_a_rounding_that_no_step_carries_out_is_refused():
    with pytest.raises(OnnxqError, match="`rounding` gptq"):
        Recipe.of(rounding="gptq", steps=["correct-biases"])
    with pytest.raises(OnnxqError, match="`rounding` gptq"):
        Recipe.of(rounding="gptq", bias_correction="statistics")


def test_a_weight_shared_with_the_last_layer_keeps_its_bits():
    model = parse(
        """g (float[n,6,6,6] input) => (float[n,6,6,6] y) {
            a = Conv (input, w1)
            r = Relu (a)
            b = Conv (r, w2)
            s = Relu (b)
            y = Conv (s, w2)
        }""",
        {"w1": normal(6, 6, 1, 1), "w2": normal(6, 6, 1, 1)},
    )
    x = [images(16, (6, 6, 6), seed) for seed in range(4)]
    plan = quantized(model, Recipe.of(act_bits=4, weight_bits=4, steps=["gptq"]), x).plan
    assert (plan.weights["w2"].params.widths == 8).all()


def test_batches_may_be_made_in_the_same_memory(network):
    seen = onnxq.calibrate(network, BATCHES)

    def reusing():
        memory = np.empty_like(BATCHES[0])
        for batch in BATCHES:
            memory[:] = batch
            yield memory

    recipe = Recipe.of(act_bits=4, weight_bits=3, steps=["gptq"])
    plans = [onnxq.quantize(network, seen, recipe, images=each, hold_back=0).plan for each in (reusing(), BATCHES)]
    for name, weight in plans[0].weights.items():
        np.testing.assert_array_equal(weight.codes, plans[1].weights[name].codes)


def test_outputs_that_are_no_numbers_for_each_image_are_not_judged():
    text = """g (float[n,3,4,4] input) => (int64[n,1,4,4] y, float z) {
        a = Conv (input, w)
        y = ArgMax <axis = 1> (a)
        z = ReduceMean <keepdims = 0> (a)
    }"""
    model = parse(text, {"w": normal(4, 3, 1, 1)})
    x = [images(32, (3, 4, 4), seed) for seed in range(4)]
    result = quantized(model, Recipe.of(act_bits=4, weight_bits=4), x)
    assert result.distances.images == 0
    assert result.notes == ()


@pytest.mark.parametrize("value", [1, -1, 2.5])
def test_shares_to_hold_back(network, value):
    with pytest.raises(OnnxqError, match="`hold_back`"):
        quantized(network, Recipe.of(), hold_back=value)
