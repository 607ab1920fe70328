"""What files of integer kernels leave out."""

from __future__ import annotations

import numpy as np
import onnx
from helpers import exact_session, images, small_network

import onnxq
from onnxq.recipe import Recipe


def test_equal_zero_points_are_one():
    model = onnxq.quantize(
        small_network(), None, Recipe.of(weight_bits=4, act_bits=8, target="onnxruntime"), images=[images(32)]
    ).model
    onnx.checker.check_model(model, full_check=True)
    assert not model.graph.value_info
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    quantizers = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    used = {node.input[2] for node in quantizers if len(node.input) > 2}
    values = [onnx.numpy_helper.to_array(constants[name]) for name in used]
    assert len({(str(each.dtype), each.shape, each.tobytes()) for each in values}) == len(values)
    assert set(constants) <= {name for node in model.graph.node for name in node.input}
    assert np.isfinite(exact_session(model).run(None, {"input": images(2)})[0]).all()
