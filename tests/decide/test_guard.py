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
    assert len(kept.plan.layers) == 3 and not {"shares", "both", "y", "large"} & set(kept.plan.activations)
    assert [note for note in kept.notes if "makes boxes of a Softmax" in note]
    without = onnxq.quantize(head, None, onnxq.Recipe.of(**recipe, guard=False), images=batches)
    assert len(without.plan.layers) == 4
    assert not [note for note in without.notes if "Softmax" in note]
    assert noise(head, kept, batches[0])[0] < noise(head, without, batches[0])[0]


def test_it_can_be_said_in_a_recipe(head):
    recipe = onnxq.Recipe.of(weight_bits=4, act_bits=None, guard=False)
    assert onnxq.Recipe.from_json(recipe.to_json()) == recipe
    assert {"layers": "decoding"} in recipe.to_dict()["overrides"]
    own = onnxq.Recipe.of(weight_bits=4, act_bits=None, overrides=[{"layers": "decoding", "weight_bits": 6}])
    widths = [int(weight.bits.max()) for weight in onnxq.quantize(head, None, own).plan.weights.values()]
    assert 6 in widths
