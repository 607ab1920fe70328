"""Two networks side by side: the same values as whole runs, and nothing kept that nobody needs."""

from __future__ import annotations

import numpy as np
from helpers import images, run, small_network

import onnxq
from onnxq.flow import _decided, resolved_for
from onnxq.recipe import Recipe
from onnxq.refine.refinement import Run
from onnxq.refine.stepper import side_by_side

X = [images(4, seed=seed) for seed in range(3)]


def test_layers_read_what_they_read_in_whole_runs():
    network = small_network()
    seen = onnxq.calibrate(network, X)
    draft = _decided(network, seen, resolved_for(Recipe.of(act_bits=3, weight_bits=3, bias_correction="none"), seen))
    whole = onnxq.quantize(network, seen, Recipe.of(act_bits=3, weight_bits=3, bias_correction="none")).model
    with side_by_side(draft, X, Run("cpu")) as pair:
        held = []
        for layer in draft.layers:
            batches = list(pair.inputs(layer.name))
            for index, (exact, quantized) in enumerate(batches):
                for model, got, name in ((network, exact, layer.input), (whole, quantized, f"{layer.input}/quantized")):
                    probe = type(model)()
                    probe.CopyFrom(model)
                    probe.graph.output.add().name = name
                    want = run(probe, {"input": X[index]}, native=None)[-1]
                    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
            held.append(sorted({name for name, _ in pair.exact.store._held if name.startswith("float/")}))
            pair.settle(layer.name, draft.plan.weights[layer.weight_name].dequantized(), draft.bias(layer))
    # the residual sum still needs `ra`; behind it, only what the next layer reads is left
    assert held == [["float/input"], ["float/ra"], ["float/p"], ["float/f"]]
