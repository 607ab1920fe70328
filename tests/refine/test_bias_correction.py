"""Biases corrected from statistics."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import run
from onnx import numpy_helper

import onnxq

DEAD = """<ir_version: 10, opset_import: ["" : 21]> dead (float[N, 3, 8, 8] x) => (float[N, 4, 2, 2] y) {
a = Conv(x, w1, b1)  ra = Relu(a)  b = Conv(ra, w2, b2)  rb = Relu(b)  y = Conv(rb, w3, b3)
}"""


@pytest.mark.parametrize("scheme", ["aciq", "mse", "minmax", "apot", "histogram", "mid-tread"])
def test_a_dead_layer_stays_dead(scheme, random):
    """Its outputs are exactly 0, behind values of -1e6: the bin that holds them is 60 wide, and none is half of that."""
    model = onnx.parser.parse_model(DEAD)
    weights = [random.normal(size=(8, 3, 3, 3)) * 1000, random.normal(size=(8, 8, 3, 3)) * 100]
    weights.append(random.normal(size=(4, 8, 3, 3)))
    biases = [np.full(8, -1e6), np.zeros(8), np.zeros(4)]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        for name, values in ((f"w{number}", weight), (f"b{number}", bias)):
            model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    x = random.normal(size=(16, 3, 8, 8)).astype(np.float32)
    result = onnxq.quantize(model, onnxq.calibrate(model, [x]), onnxq.Recipe.of(scheme))
    assert not run(result.model, {"x": x}, native=False)[0].any()
