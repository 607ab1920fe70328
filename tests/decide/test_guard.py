"""Heads of detectors: what makes boxes of distributions stays in float, and what comes behind the last features too."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import parse, run

import onnxq

HEAD = """
    head (float[N, 3, 16, 16] x) => (float[N, 6, 256] y) {
        f = Conv <pads = [1, 1, 1, 1]> (x, w0)
        r = Relu (f)
        sides = Conv (r, w1)
        classes = Conv (r, w2)
        both = Concat <axis = 1> (sides, classes)
        flat = Reshape (both, flat_shape)
        sides_flat, scores = Split <axis = 1> (flat, parts)
        apart = Reshape (sides_flat, apart_shape)
        moved = Transpose <perm = [0, 2, 1, 3]> (apart)
        shares = Softmax <axis = 1> (moved)
        boxes = Conv (shares, numbers)
        lines = Reshape (boxes, lines_shape)
        large = Mul (lines, stride)
        sure = Sigmoid (scores)
        y = Concat <axis = 1> (large, sure)
    }
"""


@pytest.fixture
def head(random):
    """Boxes as expected values of 16 distances for each side, as YOLOv8 has them; values to 120, scores to 1."""
    return parse(
        HEAD,
        {
            "w0": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
            "w1": random.normal(size=(64, 8, 1, 1)).astype(np.float32),
            "w2": random.normal(size=(2, 8, 1, 1)).astype(np.float32),
            "numbers": np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1),
            "flat_shape": np.array([0, 66, 256]),
            "parts": np.array([64, 2]),
            "apart_shape": np.array([0, 4, 16, 256]),
            "lines_shape": np.array([0, 4, 256]),
            "stride": np.float32([8]),
        },
    )


def noise(model, result, x):
    (want,), (got,) = (run(each, {"x": x}, native=None) for each in (model, result.model))
    return [float(np.square(want[:, part] - got[:, part]).mean()) for part in (slice(4), slice(4, None))]


@pytest.mark.parametrize("target", ["onnxq", "onnxruntime"])
def test_what_makes_boxes_stays_in_float(head, random, target):
    batches = [random.normal(size=(2, 3, 16, 16)).astype(np.float32) for _ in range(4)]
    recipe = {"weight_bits": 7, "act_bits": 8, "target": target, "rounding": "nearest"}
    kept = onnxq.quantize(head, None, onnxq.Recipe.of(**recipe), images=batches)
    assert len(kept.plan.layers) == 3
    assert not {"moved", "shares", "both", "boxes", "lines", "y", "large"} & set(kept.plan.activations)
    assert [note for note in kept.notes if "reads a Softmax" in note]
    without = onnxq.quantize(head, None, onnxq.Recipe.of(**recipe, guard=False), images=batches)
    assert len(without.plan.layers) == 4
    assert not [note for note in without.notes if "Softmax" in note]
    assert noise(head, kept, batches[0])[0] < noise(head, without, batches[0])[0]


def test_a_product_of_a_softmax_stays_in_float(random):
    """As some exports write it; ONNX Runtime has integer kernels for MatMul."""
    model = parse(
        """m (float[N, 3, 8, 8] x) => (float[N, 64, 1] y) {
            f = Conv (x, w)  r = Relu (f)  sides = Conv (r, v)  flat = Reshape (sides, shape)
            rows = Transpose <perm = [0, 2, 1]> (flat)  shares = Softmax <axis = 2> (rows)
            c = Cast <to = 1> (shares)  y = MatMul (c, numbers)
        }""",
        {
            "w": random.normal(size=(4, 3, 1, 1)).astype(np.float32),
            "v": random.normal(size=(16, 4, 1, 1)).astype(np.float32),
            "shape": np.array([0, 16, 64]),
            "numbers": np.arange(16, dtype=np.float32)[:, None],
        },
    )
    batches = [random.normal(size=(2, 3, 8, 8)).astype(np.float32)]
    for options in ({}, {"target": "onnxruntime"}):
        result = onnxq.quantize(model, None, onnxq.Recipe.of(weight_bits=7, act_bits=8, **options), images=batches)
        assert not {"shares", "c", "y"} & set(result.plan.activations), options
        assert [note for note in result.notes if "reads a Softmax" in note], options


def test_a_layer_that_is_named_is_quantized(head):
    own = [{"layers": "Conv_boxes", "weight_bits": 6}]
    result = onnxq.quantize(head, None, onnxq.Recipe.of(weight_bits=4, act_bits=None, overrides=own))
    assert "Conv_boxes" in result.plan.layers


def test_it_can_be_said_in_a_recipe(head):
    recipe = onnxq.Recipe.of(weight_bits=4, act_bits=None, guard=False)
    assert onnxq.Recipe.from_json(recipe.to_json()) == recipe
    assert {"layers": "decoding"} in recipe.to_dict()["overrides"]
    own = onnxq.Recipe.of(weight_bits=4, act_bits=None, overrides=[{"layers": "decoding", "weight_bits": 6}])
    widths = [int(weight.bits.max()) for weight in onnxq.quantize(head, None, own).plan.weights.values()]
    assert 6 in widths
