"""Recipes: what was written stays, what is open is resolved late, all problems are told at once."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers import parse
from hypothesis import given
from hypothesis import strategies as st
from test_flow import COMBINATIONS

from onnxq.clipping.percentile import MovingPercentile
from onnxq.core.granularity import Granularity
from onnxq.core.layers import Layer
from onnxq.core.registry import Registry
from onnxq.decide.weights import quantize_weight
from onnxq.errors import OnnxqError
from onnxq.formats.affine import Affine
from onnxq.formats.fixed_point import FixedPoint
from onnxq.formats.mid_tread import MidTread
from onnxq.formats.powers_of_two import AdditivePowersOfTwo
from onnxq.formats.signed import Signed
from onnxq.formats.symmetric import Symmetric
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph
from onnxq.recipe import Activations, Override, Recipe, Weights
from onnxq.recipe.files import load_recipe, recipe_names
from onnxq.recipe.flat import OPTIONS, with_options
from onnxq.recipe.points.inputs import Inputs
from onnxq.recipe.points.outputs import EveryOp
from onnxq.recipe.targets.onnxruntime import OnnxRuntime
from onnxq.recipe.targets.qdq import Qdq

ALL = [Recipe.of(**options) for options in COMBINATIONS] + [load_recipe(name) for name in recipe_names()]


def layer(name, *, end=False):
    return Layer(name, "Conv", "x", "y", "w", np.ones((2, 2, 1, 1), np.float32), first_or_last=end)


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.to_json())
def test_recipes_go_through_json_and_replace(recipe):
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert replace(recipe) == recipe
    whole = recipe.resolved()
    assert whole.resolved() == whole
    assert Recipe.from_json(whole.to_json()) == whole
    for field in fields(Recipe):
        assert replace(recipe, **{field.name: getattr(whole, field.name)}).resolved() == whole, field.name
    assert hash(recipe) == hash(replace(recipe))


def test_what_was_written_stays_as_written():
    recipe = Recipe.of(act_bits=8, weight_bits=8)
    assert (recipe.target, recipe.points, recipe.weights.format, recipe.activations.clipping) == (None,) * 4
    assert recipe.to_json() == '{"weights": {"bits": 8}, "activations": {"bits": 8}}'
    whole = replace(recipe, target=OnnxRuntime()).resolved()
    assert isinstance(whole.weights.format, Signed), "of the target"
    assert whole.activations.format == Affine(zero_in_range=True)
    assert whole.activations.granularity == "per-tensor"
    assert isinstance(replace(recipe, target=Qdq()).resolved().weights.format, Affine)


def test_all_problems_are_told_at_once():
    with pytest.raises(OnnxqError) as caught:
        Recipe(
            Weights(bits=1, format=MidTread(), granularity=None),
            Activations(bits="four", format=FixedPoint(overflow_rate=2, rounding="up")),
            overrides=(Override("*", weight_bits=99),),
        )
    for part in (
        "`weights.bits` must lie",
        "`activations.bits` must be a number",
        "overflow_rate`",
        "rounding`",
        "99",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "x", [], [3], {"x": 1}, {}, True, float("nan"), "all-inputs", {"aciq": {}}])
@pytest.mark.parametrize("name", [*OPTIONS, "act_bits", "weight_bits", "edge_bits", "skip", "alpha", "percentile", "steps",
                                  "points", "activations", "overrides", "metrics", "bit_true", "std_multiplier"])  # fmt: skip
def test_nonsense_is_an_error_or_a_recipe(name, value):
    try:
        recipe = Recipe.from_dict({name: value})
    except OnnxqError as error:
        assert "\n" not in str(error)
    else:
        assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("part", ["weights", "activations", "overrides"])
@given(st.dictionaries(st.sampled_from(["format", "bits", "clipping", "layers", "granularity", "act_format", "dynamic"]),
                       st.recursive(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.sampled_from(["minmax", "affine"])),
                                    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=2), max_leaves=3)))  # fmt: skip
def test_nested_nonsense_is_an_error_or_a_recipe(part, content):
    try:
        recipe = Recipe.from_dict({part: [content] if part == "overrides" else content})
    except OnnxqError as error:
        assert str(error)
    else:
        assert Recipe.from_json(recipe.to_json()) == recipe


def test_overrides_by_name_first_and_last_and_the_later_wins():
    recipe = Recipe.of("mse", weight_bits=3, act_bits=3)
    mixed = Override("Mixed*", weight_bits=6, act_format=Symmetric())
    recipe = replace(
        recipe, overrides=(mixed, Override("Mixed_2", weight_bits=5), Override("out", skip=True))
    ).resolved()
    assert recipe.weight_choice([layer("a")]).bits == 3
    first = recipe.weight_choice([layer("first", end=True)])
    assert (first.bits, first.allocation.gives_widths) == (8, False)
    assert recipe.weight_choice([layer("Mixed_1")]).bits == 6
    assert recipe.weight_choice([layer("Mixed_2")]).bits == 5
    assert recipe.weight_choice([layer("Mixed_2"), layer("Mixed_1")]).bits == 6, "the widest of those that share it"
    assert isinstance(recipe.activation_choice([layer("Mixed_1")]).format, Symmetric)
    assert [la.name for la in recipe.chosen([layer("out"), layer("Mixed_1"), layer("Mixed_2")])] == [
        "Mixed_1",
        "Mixed_2",
    ]
    with pytest.raises(OnnxqError, match=r"Mixed_2: no layer has such a name; layers are named like .*, or by their"):
        recipe.chosen([layer("out"), layer("Mixed_1")])


def test_layers_are_called_by_what_they_make_and_by_their_weights_too():
    named = replace(layer("node_conv2d_11"), aliases=("conv2d_11", "fires.3.squeeze.weight"))
    for pattern in ("node_conv2d_11", "conv2d_11", "fires.3.*"):
        assert Override(pattern).covers(named)
    assert not Override("conv2d_1").covers(named)
    decoding = replace(named, decodes=True)
    with pytest.raises(OnnxqError, match="is left to quantize"):
        Recipe().chosen([decoding])
    asked = replace(Recipe(), overrides=(Override("fires.3.squeeze.weight", weight_bits=8),))
    assert asked.chosen([decoding]) == [decoding]


def test_names_of_nodes_come_before_those_of_what_others_make():
    """s2 makes a tensor called s3, as the next layer is: that name is the layer's alone."""
    model = parse(
        """net (float[n,2,4,4] x) => (float[n,2,4,4] y) {
            s1 = Conv (x, w)
            s3 = Conv (s1, w)
            t = Conv (s3, v)
            y = Conv (t, w)
        }""",
        {name: np.ones((2, 2, 1, 1), np.float32) for name in "wv"},
    )
    for node, name in zip(model.graph.node, ("s1", "s2", "s3", "s4"), strict=True):
        node.name = name
    layers = {each.name: each for each in network_of(to_graph(model)).layers}
    assert [name for name, each in layers.items() if Override("s3").covers(each)] == ["s3"]
    assert [name for name, each in layers.items() if Override("t").covers(each)] == ["s3"]
    assert [name for name, each in layers.items() if Override("v").covers(each)] == ["s3"]


def test_parameters_go_with_their_own_rule():
    moving = {"scheme": "percentile", "moving_average": True, "symmetric": True}
    assert Recipe.of(**moving, percentile=99.0).activations.clipping == MovingPercentile(99.0)
    for wrong in ({"scheme": "moving-percentile"}, moving):
        with pytest.raises(OnnxqError, match="`std_multiplier` goes with scheme std"):
            Recipe.of(**wrong, std_multiplier=60)
    with pytest.raises(OnnxqError, match=r"`moving-percentile\.keep` must be above 50"):
        Recipe.of(activations={"clipping": {"moving-percentile": {"keep": 40}}}).resolved()


def test_what_formats_do_with_the_ends():
    ends = [layer("first", end=True)]
    for scheme, kind, bits in (("apot", Affine, 8), ("fixed-point", FixedPoint, 5), ("mid-tread", MidTread, 5)):
        recipe = Recipe.of(scheme, act_bits=5, weight_bits=5).resolved()
        for choice in (recipe.weight_choice(ends), recipe.activation_choice(ends)):
            assert (type(choice.format), choice.bits) == (kind, bits), scheme
    assert isinstance(Recipe.of("apot").resolved().weight_choice([layer("a")]).format, AdditivePowersOfTwo)


def test_points_follow_the_statistics_as_far_as_they_can():
    assert isinstance(Recipe().resolved("every-op").points, EveryOp)
    assert isinstance(Recipe.of(format="qdq").resolved("inputs").points, Inputs)
    with pytest.raises(OnnxqError, match="taken at `points` every-op, the recipe has quantizers at inputs"):
        Recipe.of(format="qdq").resolved("every-op")
    with pytest.raises(OnnxqError, match="taken at `points` outputs"):
        Recipe.of(placement="inputs").resolved("outputs")


def test_composed_and_flat_are_the_same():
    composed = {
        "weights": {"bits": 3, "format": "apot"},
        "activations": {"bits": 5, "clipping": {"percentile": {"keep": 99}}, "granularity": "per-tensor"},
        "overrides": [{"layers": "first-and-last", "bits": 7}, {"layers": "fc*", "skip": True}],
    }
    flat = {"weights": "apot", "weight_bits": 3, "act_bits": 5, "scheme": "percentile", "percentile": 99,
            "act_granularity": "per-tensor", "edge_bits": 7, "skip": ["fc*"]}  # fmt: skip
    assert Recipe.from_dict(composed) == Recipe.from_dict(flat) == Recipe.of(**flat)


def test_a_name_is_registered_once():
    registry: Registry[object] = Registry("thing", "onnxq.core")
    registry.register("x")(Affine)
    registry.register("x")(Affine)  # as on a reload
    with pytest.raises(ValueError, match="there is a thing 'x' already"):
        registry.register("x")(Symmetric)


def overrides_of(recipe):
    return [(entry.layers, entry.weight_bits, entry.skip) for entry in recipe.overrides]


def test_options_leave_overrides_in_their_order():
    written = {"overrides": [{"layers": "*", "bits": 5}, {"layers": "first-and-last", "bits": 6}]}
    recipe = Recipe.from_dict(written)
    for options in ({"weight_correction": "none"}, {"act_bits": 6}, {"renormalize": True}):
        assert with_options(recipe, options).overrides == recipe.overrides
    assert overrides_of(with_options(recipe, {"edge_bits": 7, "skip": "fc"})) == [
        ("*", 5, False), ("first-and-last", 7, False), ("fc", None, True),
    ]  # fmt: skip
    assert recipe.resolved().weight_choice([layer("a", end=True)]).bits == 6


def test_entries_for_the_ends_add_up():
    both = (Override("first-and-last", weight_bits=6), Override("first-and-last", act_bits=5, skip=True))
    whole = Recipe(overrides=both).resolved()
    assert whole.overrides == (Override("first-and-last", weight_bits=6, act_bits=5, skip=True),)


def test_steps_are_resolved_late():
    """What `--renormalize` adds does not fix what comes before it."""
    recipe = Recipe.of(renormalize=True)
    assert [type(step).__name__ for step in recipe.resolved().resolved_steps()] == ["CorrectBiases", "MatchOutputs"]
    assert [type(step).__name__ for step in recipe.resolved("outputs").resolved_steps()] == ["MatchOutputs"]
    weights = Recipe.of(act_bits=None, renormalize=True).resolved()
    assert [type(step).__name__ for step in weights.resolved_steps(has_statistics=False)] == ["MatchOutputs"]


def test_statistics_serve_points_that_they_contain():
    for observed in ("all-inputs", "integer"):
        assert isinstance(Recipe.of(placement="inputs").resolved(observed).points, Inputs)
    assert isinstance(Recipe.of(act_bits=8, weight_bits=8).resolved("integer").points, Inputs)
    assert isinstance(Recipe.of(act_bits=None).resolved("outputs").points, Inputs), "there are no quantizers to place"


def test_recipes_of_the_first_version_are_read():
    """They had every field written, in flat names; what `target` said then was no target."""
    old = {"scheme": "aciq", "act_bits": 4, "weight_bits": 4, "act_granularity": "per-channel", "weight_granularity":
           "per-channel", "bit_alloc": "both", "weights": "uniform", "weight_correction": "mean", "bias_correction":
           "statistics", "renormalize": False, "edge_bits": None, "skip": [], "placement": "inputs", "ranges": "static",
           "std_multiplier": 2.0, "percentile": 99.99, "moving_average": False, "symmetric": False, "alpha": {},
           "overflow_rate": 0.0, "rounding": "half_even", "overflow": "saturate", "bit_true": False, "format": "onnxq",
           "target": "onnxruntime", "published": False}  # fmt: skip
    recipe = Recipe.from_dict(old)
    assert replace(recipe, steps=None).resolved() == Recipe.of("aciq").resolved()
    assert recipe.resolved_steps() == Recipe().resolved_steps()


def test_the_grid_of_weights_is_symmetric_with_the_scheme():
    assert Recipe.of("histogram", weights="uniform") == Recipe.of("histogram")


@pytest.mark.parametrize(
    "content",
    [
        {"overrides": [{"layers": "*", "act_format": "kmeans"}]},
        {"target": "qdq", "points": "inputs", "overrides": [{"layers": "*", "weight_format": "apot"}]},
        {"target": "qdq", "points": "inputs", "overrides": [{"layers": "*", "bits": 4.5}]},
        {"weights": {"format": "kmeans"}, "overrides": [{"layers": "*", "weight_bits": 3.5}]},
        {"weights": {"format": "fixed-point", "bits": 12}, "overrides": [{"layers": "*", "weight_format": "affine"}]},
        {"activations": {"format": "fixed-point", "bits": 12}, "overrides": [{"layers": "*", "act_format": "affine"}]},
        {"activations": {"dynamic": True, "clipping": "minmax"}, "overrides": [{"layers": "*", "act_format": "apot"}]},
        {"overrides": [{"layers": "*", "weight_format": {"fixed-point": {"bit_true": True}}}]},
        {"metrics": [1, [2]]},
        {"target": {"qdq": {"bits": 5}}},
        {"overrides": [{"layers": 3}]},
        {1: 2},
    ],
    ids=str,
)
def test_what_cannot_be_written_is_refused(content):
    with pytest.raises(OnnxqError, match=r"\w"):
        Recipe.from_dict(content)


def test_an_override_of_a_format_keeps_that_format_on_its_grid():
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    entry = Override("*", weight_format=FixedPoint(), weight_bits=6)
    recipe = Recipe(overrides=(entry,)).resolved()
    choice = recipe.weight_choice([layer("a")])
    quantized = quantize_weight(weight, choice, recipe.weights.granularity, recipe.rounding, recipe.weights.correction)
    steps = quantized.dequantized() * 2.0**10
    assert (steps == np.rint(steps)).all()


def test_names_are_taken_for_objects():
    assert Weights(format="apot", granularity="per-channel") == Weights(
        AdditivePowersOfTwo(), granularity="per-channel"
    )
    assert Weights(granularity="per-channel").resolved(Qdq()).granularity is Granularity.PER_CHANNEL
    assert Recipe(points="outputs", metrics=["distance"]) == Recipe.from_dict(
        {"points": "outputs", "metrics": ["distance"]}
    )
    assert hash(Recipe(overrides=[Override("a")])) == hash(Recipe(overrides=(Override("a"),)))
    for text in ("[]", "null", "3", '"abc"', "{"):
        with pytest.raises(OnnxqError, match="recipe"):
            Recipe.from_json(text)
