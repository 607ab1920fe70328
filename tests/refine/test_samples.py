"""What is sampled of a layer's input is what the layer multiplies with."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import parse, run

from onnxq.graph.analysis import layers_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.normalize import normalize
from onnxq.refine.samples import choose_positions, samples

CASES = {
    "padded": ("Conv <pads = [1,2,0,1]>", (5, 4, 3, 2), (2, 4, 7, 6)),
    "strided": ("Conv <strides = [2,3], pads = [1,1,1,1]>", (5, 4, 3, 3), (2, 4, 8, 9)),
    "dilated": ("Conv <dilations = [2,3]>", (5, 4, 2, 3), (2, 4, 8, 9)),
    "grouped": ("Conv <group = 2, pads = [1,1,1,1]>", (6, 2, 3, 3), (2, 4, 5, 5)),
    "depthwise": ("Conv <group = 4, pads = [2,2,2,2]>", (8, 1, 5, 5), (2, 4, 5, 6)),
    "same upper": ('Conv <auto_pad = "SAME_UPPER", strides = [2,2]>', (5, 4, 2, 3), (2, 4, 7, 6)),
    "same lower": ('Conv <auto_pad = "SAME_LOWER", strides = [2,1]>', (5, 4, 3, 2), (2, 4, 7, 6)),
    "valid": ('Conv <auto_pad = "VALID">', (5, 4, 3, 3), (2, 4, 7, 6)),
    "one axis": ("Conv <pads = [1,1]>", (5, 4, 3), (2, 4, 9)),
    "three axes": ("Conv <pads = [1,0,1,1,0,1]>", (5, 4, 3, 1, 3), (2, 4, 4, 3, 5)),
    "gemm": ("Gemm <transB = 1>", (5, 4), (3, 4)),
}


@pytest.mark.parametrize("label", CASES)
def test_samples_times_weights_is_the_layers_output(label):
    call, weight_shape, shape = CASES[label]
    random = np.random.default_rng(0)
    weight = random.standard_normal(weight_shape).astype(np.float32)
    dims = ",".join(map(str, shape[1:]))
    sizes = ",".join(f"d{axis}" for axis in range(len(shape) - 1))
    model = parse(f"g (float[n,{dims}] x) => (float[n,{sizes}] y) {{ y = {call} (x, w) }}", {"w": weight})
    x = random.standard_normal(shape).astype(np.float32)
    (want,) = run(model, {"x": x}, native=False)
    graph = to_graph(model)
    normalize(graph)
    (layer,) = layers_of(graph)
    positions = choose_positions(layer, shape, 10**6, random)
    read = samples(layer, x, positions)
    kernel = layer.weight.reshape(layer.group, layer.channels // layer.group, -1)
    got = (read @ kernel.transpose(0, 2, 1)).transpose(1, 0, 2).reshape(len(positions), -1)
    channels_last = np.moveaxis(want, 1, -1).reshape(-1, layer.channels)
    np.testing.assert_allclose(got, channels_last, rtol=1e-4, atol=1e-4)
    few = choose_positions(layer, shape, 3, random)
    assert len(few) == 3
    np.testing.assert_array_equal(samples(layer, x, few), read[:, few])
