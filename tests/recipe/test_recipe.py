"""Recipes: what was written stays, what is open is resolved late, all problems are told at once."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_flow import COMBINATIONS

from onnxq.core.layers import Layer
from onnxq.core.registry import Registry
from onnxq.errors import OnnxqError
from onnxq.formats.affine import Affine
from onnxq.formats.fixed_point import FixedPoint
from onnxq.formats.mid_tread import MidTread
from onnxq.formats.powers_of_two import AdditivePowersOfTwo
from onnxq.formats.symmetric import Symmetric
from onnxq.recipe import Activations, Override, Recipe, Weights
from onnxq.recipe.files import load_recipe, recipe_names
from onnxq.recipe.flat import OPTIONS
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
    assert isinstance(whole.weights.format, Symmetric), "of the target"
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
    recipe = Recipe.of(weight_bits=3, act_bits=3)
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
    with pytest.raises(OnnxqError, match="Mixed_2: no layer has such a name"):
        recipe.chosen([layer("out"), layer("Mixed_1")])


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
