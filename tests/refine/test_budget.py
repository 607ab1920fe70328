"""Bits across layers: what is measured of each, and files of a size."""

from __future__ import annotations

import itertools
import json

import numpy as np
import onnx
import pytest
from helpers import images, parse, run, small_network

import onnxq
from onnxq.core.sensitivity import LayerSensitivity, Sensitivity
from onnxq.errors import OnnxqError
from onnxq.flow import measure_sensitivity
from onnxq.graph.model_files import fingerprint
from onnxq.recipe import Recipe

A4 = {"weight_bits": 4, "act_bits": 8}


@pytest.fixture
def uneven(random):
    """Of the two convolutions in the middle one does nearly nothing: what it makes is added a thousandth of."""
    return parse(
        """uneven (float[n,3,8,8] x) => (float[n,10] y) {
            a = Conv <pads = [1,1,1,1]> (x, w0)  r = Relu(a)
            b = Conv <pads = [1,1,1,1]> (r, w1)  c = Conv <pads = [1,1,1,1]> (r, w2)
            s = Mul(c, little)  t = Add(b, s)  u = Relu(t)
            p = GlobalAveragePool(u)  f = Flatten(p)  y = Gemm(f, w3)
        }""",
        {
            "w0": random.normal(size=(24, 3, 3, 3)).astype(np.float32),
            "w1": random.normal(size=(24, 24, 3, 3)).astype(np.float32),
            "w2": random.normal(size=(24, 24, 3, 3)).astype(np.float32),
            "little": np.float32(0.001),
            "w3": random.normal(size=(24, 10)).astype(np.float32),
        },
    )


def widths(result):
    """Of weights, called as in the float network: what is scaled behind is folded into them."""
    return {name.partition(".")[0]: float(weight.bits.mean()) for name, weight in result.plan.weights.items()}


def test_what_matters_little_is_known_to(uneven):
    found = measure_sensitivity(uneven, None, Recipe.of(**A4), [images(32)])
    assert found.source == fingerprint(uneven) and found.images == 32
    first, second, third, last = found.layers
    assert third.effect(4) < 1e-4 * second.effect(4)
    assert [layer.weights for layer in found.layers] == [648, 5184, 5184, 240]
    assert [layer.products for layer in found.layers] == [648 * 64, 5184 * 64, 5184 * 64, 240]
    for layer in found.layers:
        effects = [layer.effects[bits] for bits in range(2, 9)]
        assert effects == sorted(effects, reverse=True) and effects[-1] > 0
        assert layer.effect(3) > layer.effect(3.5) > layer.effect(4)
    assert found.predicted({first.name: 2, second.name: 8, last.name: 8}) > first.effect(2)


def test_predictions_are_those_of_files(uneven):
    """Where each layer alone is narrow, in their order and size."""
    batches = [images(32)]
    statistics = onnxq.calibrate(uneven, batches)
    found = measure_sensitivity(uneven, statistics, Recipe.of(**A4), batches)
    x = images(64, seed=5)
    (want,) = run(uneven, {"x": x}, native=None)
    for layer in found.layers[:2]:
        recipe = Recipe.of(act_bits=8, weight_bits=8, overrides=[{"layers": layer.name, "weight_bits": 3}])
        (got,) = run(onnxq.quantize(uneven, statistics, recipe, images=batches).model, {"x": x}, native=None)
        true = np.square(got - want).sum() / np.square(want - want.mean(axis=0)).sum()
        assert 0.3 < true / layer.effect(3) < 3


def test_a_size_is_met_from_below(uneven):
    batches = [images(32)]
    sizes = {}
    for bits in (3, 5):
        plain = onnxq.quantize(uneven, None, Recipe.of(act_bits=8, weight_bits=bits), images=batches)
        sizes[bits] = len(plain.model.SerializeToString())
    for size in sizes.values():
        result = onnxq.quantize(uneven, None, Recipe.of(**A4, size=size), images=batches)
        assert 0.95 * size < len(result.model.SerializeToString()) <= size
        assert widths(result)["w2"] < widths(result)["w1"]
        assert [note for note in result.notes if note.startswith("bits of weights by layer")]
    ratio = Recipe.of(**A4, size_ratio=sizes[3] / len(uneven.SerializeToString()))
    assert len(onnxq.quantize(uneven, None, ratio, images=batches).model.SerializeToString()) <= sizes[3]


def test_the_file_says_which_widths_it_has(uneven):
    """And is made again by what it says, without sensitivities."""
    batches = [images(32)]
    result = onnxq.quantize(uneven, None, Recipe.of(**A4, size=12_000), images=batches)
    said = Recipe.from_json({entry.key: entry.value for entry in result.model.metadata_props}["onnxq.recipe"])
    assert said.steps is None and len(said.overrides) == 4
    again = onnxq.quantize(uneven, None, said, images=batches)
    assert again.model.graph == result.model.graph


def test_other_limits(uneven, tmp_path):
    batches = [images(32)]
    measure_sensitivity(uneven, None, Recipe.of(**A4), batches).save(tmp_path / "known.json")
    known = {"sensitivity": str(tmp_path / "known.json")}
    for bits in (2.0, 3.5, 8.0):
        recipe = Recipe.of(**A4, steps=[{"budget": {"bits": bits, **known}}, "default"])
        result = onnxq.quantize(uneven, None, recipe, images=batches)
        sizes = {name.partition(".")[0]: weight.codes.size for name, weight in result.plan.weights.items()}
        mean = sum(widths(result)[name] * size for name, size in sizes.items()) / sum(sizes.values())
        assert bits - 0.1 < mean <= bits


def reads_of(result):
    """Bits of what layers read, by tensor."""
    return {name: float(params.widths.mean()) for name, params in result.plan.activations.items()}


def work_of(result):
    """By hand: products times bits of both factors."""
    reads, bits = reads_of(result), widths(result)
    tensors = list(reads)  # x, r (of two), f
    layers = {"w0": (648 * 64, tensors[0]), "w1": (5184 * 64, tensors[1]), "w2": (5184 * 64, tensors[1]),
              "w3": (240, tensors[2])}  # fmt: skip
    return sum(count * bits[name] * reads[tensor] for name, (count, tensor) in layers.items())


def test_work_is_met_by_weights_and_by_what_layers_read(uneven):
    whole = (648 * 64 + 2 * 5184 * 64 + 240) * 32 * 32
    for ratio in (0.012, 0.02, 0.04):
        result = onnxq.quantize(uneven, None, Recipe.of(**A4, bops_ratio=ratio), images=[images(32)])
        assert 0.9 * ratio < work_of(result) / whole <= ratio
        assert widths(result)["w2"] <= widths(result)["w1"]
        said = Recipe.from_json({entry.key: entry.value for entry in result.model.metadata_props}["onnxq.recipe"])
        again = onnxq.quantize(uneven, None, said, images=[images(32)])
        assert again.model.graph == result.model.graph
    assert any(bits < 8 for bits in reads_of(result).values()) or ratio > 0.03
    kept = Recipe.of(**A4, bops_ratio=0.02, overrides=[{"layers": "*", "act_bits": 7}])
    assert set(reads_of(onnxq.quantize(uneven, None, kept, images=[images(32)])).values()) == {7}
    with pytest.raises(OnnxqError, match="the least is"):
        onnxq.quantize(uneven, None, Recipe.of(**A4, bops_ratio=0.001), images=[images(32)])


def test_the_choice_of_work_is_the_best_there_is(uneven, tmp_path):
    """All pairs of widths tried, of the effects that were measured."""
    known = measure_sensitivity(uneven, None, Recipe.of(**A4, bit_alloc="none"), [images(32)])
    known.save(tmp_path / "known.json")
    limit = 0.015
    recipe = Recipe.of(**A4, bit_alloc="none", bops_ratio=limit, sensitivity=str(tmp_path / "known.json"))
    result = onnxq.quantize(uneven, None, recipe, images=[images(32)])
    counts = [layer.products for layer in known.layers]
    room, best = limit * sum(counts) * 1024, np.inf
    bits, reads = range(2, 9), range(4, 9)
    first, second, third, last = known.layers
    for a, b in itertools.product(reads, repeat=2):  # what the last one reads costs nothing
        inputs = first.reads[a] + second.reads[b] + third.reads[b] + last.reads[8]
        for w in itertools.product(bits, repeat=3):
            cost = counts[0] * a * w[0] + counts[1] * b * w[1] + counts[2] * b * w[2] + counts[3] * 64
            if cost <= room:
                effect = first.effects[w[0]] + second.effects[w[1]] + third.effects[w[2]] + last.effects[8]
                best = min(best, inputs + effect)
    own, read = widths(result), list(reads_of(result).values())
    got = sum(layer.effects[int(own[name])] for layer, name in zip(known.layers, own, strict=True))
    got += first.reads[int(read[0])] + second.reads[int(read[1])] + third.reads[int(read[1])] + last.reads[int(read[2])]
    assert got == pytest.approx(best, rel=1e-3)


def test_wishes_stay(uneven):
    overrides = [{"layers": "Conv_b", "weight_bits": 7}, {"layers": "Conv_s", "skip": True}]
    recipe = Recipe.of(**A4, size=35_000, overrides=overrides)
    result = onnxq.quantize(uneven, None, recipe, images=[images(32)])
    assert widths(result)["w1"] == 7 and "w2" not in widths(result)
    result = onnxq.quantize(uneven, None, Recipe.of(**A4, size=12_500, edge_bits=8), images=[images(32)])
    assert widths(result)["w0"] == 8 and widths(result)["w3"] == 8


@pytest.mark.parametrize("options", [{"target": "onnxruntime"}, {"format": "qdq"}, {"target": "arm"}], ids=str)
@pytest.mark.parametrize("size", [0.1, 0.5])
def test_for_integer_kernels_and_standard_operators(uneven, options, size):
    """Files that load; at widths for which there are types."""
    ends = []
    for bits in (3, 7):
        recipe = Recipe.of(**A4, overrides=[{"layers": "*", "weight_bits": bits}], **options)
        ends.append(len(onnxq.quantize(uneven, None, recipe, images=[images(100)]).model.SerializeToString()))
    bound = int(ends[0] + 900 + size * (ends[1] - ends[0]))
    result = onnxq.quantize(uneven, None, Recipe.of(**A4, size=bound, **options), images=[images(100)])
    assert len(result.model.SerializeToString()) <= bound
    assert 3 <= widths(result)["w2"] <= widths(result)["w1"] <= 8 or options == {"format": "qdq"}
    run(result.model, {"x": images(2)}, native=None)


def test_targets_of_one_width_have_nothing_to_choose(uneven):
    with pytest.raises(OnnxqError, match="weights of one width"):
        onnxq.quantize(
            uneven, None, Recipe.of(weight_bits=8, act_bits=8, target="tensorrt", size=9000), images=[images(32)]
        )


@pytest.mark.parametrize("fixed", [1, 4])
def test_models_of_a_fixed_batch(random, fixed):
    model = parse(
        f"f (float[{fixed},3,8,8] x) => (float[{fixed},5] y) {{ a = Conv(x, w) r = Relu(a) p = GlobalAveragePool(r) "
        "f = Flatten(p) y = Gemm(f, v) }",
        {"w": random.normal(size=(9, 3, 1, 1)).astype(np.float32), "v": random.normal(size=(9, 5)).astype(np.float32)},
    )
    batches = [images(fixed, seed=seed) for seed in range(16 // fixed + 1)]
    found = measure_sensitivity(model, None, Recipe.of(**A4), batches)
    assert all(0 < layer.effect(4) < 1 for layer in found.layers)


def test_a_weight_of_two_layers_has_one_width(random):
    model = parse(
        """s (float[n,6,8,8] x) => (float[n,10] y) {
            a = Conv (x, w)  r = Relu(a)  b = Conv (r, w)  t = Relu(b)  p = GlobalAveragePool(t)  f = Flatten(p)  y = Gemm(f, v)
        }""",
        {"w": random.normal(size=(6, 6, 3, 3)).astype(np.float32), "v": random.normal(size=(6, 10)).astype(np.float32)},
    )
    batches = [images(32, (6, 8, 8))]
    for bits in (3.0, 5.0):
        recipe = Recipe.of(**A4, steps=[{"budget": {"bits": bits}}, "default"])
        result = onnxq.quantize(model, None, recipe, images=batches)
        mean = (324 * widths(result)["w"] + 60 * widths(result)["v"]) / 384
        assert mean <= bits
    wish = Recipe.of(
        **A4, rounding="nearest", steps=[{"budget": {"bits": 2.5}}], overrides=[{"layers": "Conv_b", "weight_bits": 7}]
    )
    assert widths(onnxq.quantize(model, None, wish, images=batches))["w"] >= 7


def test_weights_that_lie_on_a_grid_are_known_to(uneven):
    """At 4 bits they lose nothing, and at 2 they do."""
    for tensor in uneven.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim > 1:
            step = np.abs(values.reshape(len(values), -1)).max(axis=1) / 7
            step = step.reshape(-1, *[1] * (values.ndim - 1))
            tensor.CopyFrom(
                onnx.numpy_helper.from_array((np.round(values / step) * step).astype(np.float32), tensor.name)
            )
    recipe = Recipe.of(**A4, weights="symmetric", rounding="nearest", bit_alloc="none", weight_correction="none")
    found = measure_sensitivity(uneven, None, recipe, [images(32)])
    for layer in found.layers[:2]:
        assert layer.effect(2) > 1e-3 and layer.effect(2) > layer.effect(3) > 1e3 * layer.effect(4)


def test_levels_of_powers_are_measured_at_more_widths(uneven):
    found = measure_sensitivity(uneven, None, Recipe.of(**A4, weights="pot", rounding="nearest"), [images(32)])
    assert all(layer.effect(8) > 0.3 * layer.effect(4) for layer in found.layers[1:3])


def test_the_order_of_steps(uneven):
    for steps, message in (
        (["default", {"budget": {"bits": 3}}], "a budget comes before all other"),
        ([{"budget": {"bits": 3}}, {"budget": {"bits": 4}}, "default"], "no layer whose bits are free"),
    ):
        with pytest.raises(OnnxqError, match=message):
            onnxq.quantize(uneven, None, Recipe.of(**A4, steps=steps), images=[images(32)])


def test_too_few_images(uneven):
    with pytest.raises(OnnxqError, match="3 images tell too little"):
        measure_sensitivity(uneven, None, Recipe.of(**A4), [images(3)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, "no widths make a file of 100 bytes: with 2 bits throughout it has"),
        ({"size_ratio": 2}, "`budget.size_ratio` must"),
        ({"size": 5000, "bops_ratio": 0.1}, "a budget is one of"),
        ({"sensitivity": "x.json"}, "a budget is one of"),
        ({"bops_ratio": 0.0001}, "no widths have a share of 0.0001 of the work: the least is"),
        ({"size": 5000, "scheme": "fixed-point"}, "go with fixed point"),
        ({"bops_ratio": 0.1, "act_bits": None}, "which are in float"),
        ({"size": 5000, "sensitivity": "none.json"}, "none.json: cannot be read"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(OnnxqError, match=message):
        onnxq.quantize(small_network(), None, Recipe.of(**{**A4, **options}), images=[images(16)])


def test_sensitivities_are_kept_in_files(tmp_path):
    layer = LayerSensitivity("a", "Conv", 10, 20, {2: 0.5, 3: 0.1}, {4: 0.2})
    known = Sensitivity((layer,), 4, "abc", "affine")
    known.save(tmp_path / "s.json")
    assert Sensitivity.load(tmp_path / "s.json") == known
    with pytest.raises(OnnxqError, match="of another model"):
        onnxq.quantize(
            small_network(), None, Recipe.of(**A4, size=5000, sensitivity=str(tmp_path / "s.json")), images=[images(16)]
        )
    for text in ("{", "[]", "{}", json.dumps({"onnxq_sensitivity": 2, "layers": [], "images": 1, "source": ""})):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(OnnxqError, match=r"bad.json: no"):
            Sensitivity.load(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text(json.dumps({"onnxq_sensitivity": 1}))
    with pytest.raises(OnnxqError, match="another version"):
        Sensitivity.load(tmp_path / "bad.json")
