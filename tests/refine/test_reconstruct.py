"""Scales and biases learnt by torch: the networks in torch against ONNX Runtime, and what learning comes to."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
import torch
from helpers import images, parse, run, small_network

import onnxq
from onnxq.errors import OnnxqError
from onnxq.formats.affine import AffineParams, fake_quantize
from onnxq.recipe import Recipe
from onnxq.reconstruction.comparison import Comparison
from onnxq.reconstruction.fake_quantize import FakeQuantize
from onnxq.reconstruction.network import TorchNetwork, unknown_operators
from onnxq.refine import reconstruct

RANDOM = np.random.default_rng(0)
BATCHES = [images(16, seed=seed) for seed in range(8)]
TESTS = images(64, seed=99)
LEARN = {"reconstruct": {"iterations": 60}}


@pytest.fixture(scope="module")
def network():
    return small_network(1)


def away(network, model):
    """Squared error of the outputs on images that nothing was estimated on, relative to their variance."""
    want, got = (run(each, {"input": TESTS}, native=False)[0] for each in (network, model))
    return np.square(want - got).sum() / np.square(want - want.mean(axis=0)).sum()


def quantized(network, recipe, batches=BATCHES, **more):
    return onnxq.quantize(network, None, recipe, images=batches, provider="cpu", **more)


def recipe_of(*steps, **fields):
    asked = {"act_bits": 3, "weight_bits": 3, "edge_bits": 4, **fields}
    return replace(Recipe.of(**asked), steps=("default", *steps))


# ---- nodes

NODES = {
    "conv": "y = Conv <strides = [2, 1], pads = [1, 0, 2, 1], dilations = [1, 2], group = 2> (x, w, b)",
    "conv same": 'y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, dense)',
    "conv same lower": 'y = Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (x, even)',
    "gemm": "f = Flatten (x)  y = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (f, matrix, rows)",
    "gemm as it is": "f = Flatten (x)  y = Gemm (f, turned)",
    "matmul": "f = Flatten (x)  y = MatMul (f, turned)",
    "clip": "y = Clip (x, zero, one)",
    "clip above": "y = Clip (x, , one)",
    "relu": "y = Relu (x)",
    "leaky": "y = LeakyRelu <alpha = 0.3> (x)",
    "sigmoid": "y = Sigmoid (x)",
    "hard sigmoid": "y = HardSigmoid <alpha = 0.17, beta = 0.4> (x)",
    "hard swish": "y = HardSwish (x)",
    "softmax": "y = Softmax <axis = 1> (x)",
    "arithmetic": "a = Add (x, channels)  c = Mul (a, x)  d = Sub (c, channels)  y = Div (d, channels)",
    "max and min": "a = Max (x, zero, channels)  y = Min (a, one)",
    "max of one": "y = Max (x)",
    "max pool": "y = MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1]> (x)",
    "max pool ceil": "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x)",
    "average": "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)",
    "average with pads": "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x)",
    "global": "y = GlobalAveragePool (x)",
    "reduce": "y = ReduceMean <keepdims = 0> (x, axes)",
    "batch norm": "y = BatchNormalization <epsilon = 0.01> (x, channels, channels, channels, channels)",
    "concat": "a = Relu (x)  y = Concat <axis = 1> (x, a)",
    "reshape": "y = Reshape (x, shape)",
    "transpose as it is": "y = Transpose (x)",
    "gemm turned": "f = Flatten (x)  t = Transpose (f)  y = Gemm <transA = 1> (t, turned)",
    "view": """s = Shape (x)  n = Gather <axis = 0> (s, first)  u = Unsqueeze (n, front)
        v = Concat <axis = 0> (u, rest)  y = Reshape (x, v)""",
    "halves": """s = Shape <start = -1> (x)  h = Div (s, halved)  n = Concat <axis = 0> (keep, h, rest)
        y = Reshape (x, n)""",
    "gather": "y = Gather <axis = -1> (x, picked)",
    "transpose": "y = Transpose <perm = [0, 2, 3, 1]> (x)",
    "flatten": "y = Flatten <axis = 2> (x)",
    "squeeze": "a = GlobalAveragePool (x)  c = Squeeze (a, axes)  y = Unsqueeze (c, axes)",
    "slice": "y = Slice (x, starts, ends, axes, steps)",
    "split unevenly": "a, c, d = Split <axis = 2, num_outputs = 3> (x)  y = Relu (d)",
    "split": "a, c = Split <axis = 1, num_outputs = 2> (x)  y = Mul (a, c)",
    "split by sizes": "a, c = Split <axis = 1> (x, sizes)  y = Concat <axis = 1> (c, a)",
    "pad": "y = Pad (x, pads, one)",
    "identity": "y = Identity (x)",
}
CONSTANTS = {
    "w": RANDOM.standard_normal((6, 2, 3, 2)),
    "dense": RANDOM.standard_normal((3, 4, 3, 3)),
    "even": RANDOM.standard_normal((3, 4, 2, 2)),
    "b": RANDOM.standard_normal(6),
    "matrix": RANDOM.standard_normal((5, 4 * 7 * 8)),
    "turned": RANDOM.standard_normal((4 * 7 * 8, 5)),
    "rows": RANDOM.standard_normal(5),
    "channels": RANDOM.uniform(0.5, 1.5, (4,)),
    "zero": np.float32(0),
    "one": np.float32(0.7),
}
INTEGERS = {
    "axes": [2, 3],
    "shape": [0, 2, -1],
    "first": 0,
    "front": [0],
    "rest": [-1],
    "halved": [2],
    "keep": [0],
    "picked": [-1, 2],
    "starts": [1, 0],
    "ends": [6, 2**62],
    "steps": [2, 1],
    "sizes": [1, 3],
    "pads": [0, 0, 1, 2, 0, 1, 0, 1],
}


@pytest.mark.parametrize("name", NODES)
def test_nodes_are_those_of_onnx(name):
    constants = {key: np.asarray(value, np.float32) for key, value in CONSTANTS.items()}
    constants["channels"] = constants["channels"] if name == "batch norm" else constants["channels"].reshape(4, 1, 1)
    constants |= {key: np.array(value, np.int64) for key, value in INTEGERS.items()}
    used = {key: value for key, value in constants.items() if key in NODES[name].replace("(", " ").replace(")", " ")}
    text = f'<ir_version: 10, opset_import: ["" : 21]> g (float[N, 4, 7, 8] x) => (float[] y) {{ {NODES[name]} }}'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, key) for key, value in used.items())
    x = RANDOM.standard_normal((3, 4, 7, 8)).astype(np.float32)
    graph = gs.import_onnx(model)
    assert not unknown_operators(graph)
    made = TorchNetwork(graph, "cpu", {})(torch.from_numpy(x), {"y"})["y"].numpy()
    want = run(model, {"x": x}, native=False)[0]
    assert made.shape == want.shape
    np.testing.assert_allclose(made, want, rtol=1e-4, atol=1e-4)


def test_fake_quantize_is_the_operator_and_its_scale_learns():
    params = AffineParams(
        np.array([0.1, 0.5, 2, 1], np.float32), np.array([3, 0, 8, 1], np.float32), np.array([3, 2, 4, 0], np.int32)
    )
    x = (RANDOM.standard_normal((5, 4, 6)) * 3).astype(np.float32)
    shaped = [torch.from_numpy(value.reshape(4, 1)) for value in (params.scale, params.zero_point, params.bits)]
    module = FakeQuantize(*shaped)
    leaf = torch.from_numpy(x).requires_grad_(True)
    made = module(leaf)
    np.testing.assert_array_equal(made.detach().numpy(), fake_quantize(x, params, 1))
    weights = torch.from_numpy(RANDOM.standard_normal(x.shape).astype(np.float32))
    (made * weights).sum().backward()
    scale, zero_point = (value.reshape(4, 1).astype(np.float64) for value in (params.scale, params.zero_point))
    top = np.exp2(params.bits.reshape(4, 1)) - 1
    inside = (np.rint(x / scale) + zero_point >= 0) & (np.rint(x / scale) + zero_point <= top)
    np.testing.assert_allclose(leaf.grad.numpy(), weights.numpy() * inside, rtol=1e-6)
    # LSQ, equation 3: round(x / s) - x / s inside, the last level outside; and d s / d factor = s
    by_scale = np.where(inside, np.rint(x / scale) - x / scale, np.where(x > 0, top - zero_point, -zero_point))
    want = (weights.numpy() * by_scale).sum(axis=(0, 2)) * scale[:, 0]
    np.testing.assert_allclose(module.log_factor.grad.numpy()[:, 0], want, rtol=1e-3, atol=1e-4)


# ---- the step


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"weight_granularity": "per-tensor", "act_granularity": "per-tensor", "bit_alloc": "none"},
        {"weights": "apot"},
        {"format": "qdq", "act_bits": 4, "weight_bits": 4},
        {"placement": "outputs"},
        {"placement": "every-op", "act_bits": 4},
        {"act_bits": None, "weight_bits": 2},
    ],
    ids=str,
)
def test_it_takes_the_network_closer_to_the_float_one(network, fields):
    """From nearest rounding, without bias correction: behind gptq a network this small has little left to learn."""
    asked = {"act_bits": 3, "weight_bits": 3, "edge_bits": 4, "rounding": "nearest", **fields}
    before = quantized(network, replace(Recipe.of(**asked), steps=()))
    after = quantized(network, replace(Recipe.of(**asked), steps=(LEARN,)))
    assert [name for name, _ in after.distances.steps] == ["start", "reconstruct"], after.notes
    assert any(note.startswith("reconstruct: ") for note in after.notes), after.notes
    assert away(network, after.model) < 0.9 * away(network, before.model)
    onnx.checker.check_model(after.model)
    for name, weight in before.plan.weights.items():
        np.testing.assert_array_equal(after.plan.weights[name].codes, weight.codes)
        assert not np.array_equal(after.plan.weights[name].dequantized(), weight.dequantized())
    for tensor, params in before.plan.activations.items():
        assert not np.array_equal(after.plan.activations[tensor].scale, params.scale)


def test_tensors_that_share_a_scale_still_do():
    """Of integer kernels, MaxPool has one scale in and out."""
    model = parse(
        """g (float[N, 3, 8, 8] input) => (float[N, 4, 2, 2] y) {
            a = Conv <pads = [1, 1, 1, 1]> (input, w)  b = Relu (a)
            c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
            d = Conv <pads = [1, 1, 1, 1]> (c, v)  y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)
        }""",
        {
            "w": RANDOM.standard_normal((8, 3, 3, 3)).astype(np.float32),
            "v": RANDOM.standard_normal((4, 8, 3, 3)).astype(np.float32),
        },
    )
    batches = [RANDOM.standard_normal((16, 3, 8, 8)).astype(np.float32) for _ in range(4)]
    recipe = Recipe.of(target="onnxruntime", act_bits=8, weight_bits=8, rounding="nearest")
    before, after = (
        quantized(model, replace(recipe, steps=steps), batches, hold_back=0).plan for steps in ((), (LEARN,))
    )
    shared = {tensor: point.shares for tensor, point in after.points.items() if point.shares}
    assert "c" in shared
    for tensor, other in shared.items():
        np.testing.assert_array_equal(after.activations[tensor].scale, after.activations[other].scale)
    assert any(after.activations[each].scale != before.activations[each].scale for each in shared)


@pytest.mark.parametrize("end", ["", "Softmax"])
def test_scores_of_classes_are_compared_as_distributions(end):
    """Probabilities as they are, logits behind a softmax; what is equal costs nothing."""
    scores = np.float32([[1, 2, -1], [0, 0.5, 3]])

    def network(add):
        values = {"w": np.eye(3, dtype=np.float32), "b": np.float32(add)}
        last = "y = Softmax <axis = 1> (s)" if end else "y = Identity (s)"
        text = f"g (float[n,3] input) => (float[n,3] y) {{ s = Gemm (input, w, b) {last} }}"
        return TorchNetwork(gs.import_onnx(parse(text, values)).toposort(), "cpu", {})

    exact, quantized = network([0, 0, 0]), network([1, 0, 0])
    x = torch.from_numpy(scores)
    wanted, made = (
        torch.softmax(torch.from_numpy(scores + add), dim=1) for add in (np.float32([0, 0, 0]), np.float32([1, 0, 0]))
    )
    divergence = (wanted * (wanted / made).log()).sum(dim=1).mean()
    pairs = (("y", "y"),)
    one = Comparison.of(exact, quantized, pairs, pairs, x)
    layers, outputs = one.losses(x)
    made_by = [each(x, {"y"})["y"] for each in (exact, quantized)]
    squares = torch.square(made_by[1] - made_by[0]).mean() * one.weights[0]
    assert layers.item() == pytest.approx(squares.item(), rel=1e-4)
    assert outputs.item() == pytest.approx((divergence + squares).item(), rel=1e-4)
    assert Comparison.of(exact, exact, pairs, pairs, x).losses(x)[1].item() == 0


def test_the_same_seed_gives_the_same_file(network):
    first, second = (quantized(network, recipe_of(LEARN)).model for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()


def test_seconds_end_it(network):
    begun = time.monotonic()
    made = quantized(network, recipe_of({"reconstruct": {"iterations": 10**6, "seconds": 2}}))
    assert time.monotonic() - begun < 30
    assert any(note.startswith("reconstruct: ") for note in made.notes)


def test_what_does_not_help_is_undone(network, monkeypatch):
    """Learning rates that are far too high."""
    before = quantized(network, recipe_of())
    for name in ("SCALE_RATE", "GAIN_RATE", "BIAS_RATE"):
        monkeypatch.setattr(f"onnxq.reconstruction.learning.{name}", 3.0)
    after = quantized(network, recipe_of(LEARN))
    assert any(note.startswith("step reconstruct was undone") for note in after.notes), after.notes
    np.testing.assert_allclose(away(network, after.model), away(network, before.model), rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scheme": "fixed-point", "act_bits": 8, "weight_bits": 4}, "rounded to a number format"),
        ({"ranges": "dynamic", "scheme": "aciq-laplace"}, "cannot be learnt through"),
    ],
)
def test_what_it_cannot_learn_is_left_with_a_note(network, fields, told):
    made = quantized(network, recipe_of(LEARN, **fields))
    assert any(note.startswith("nothing was reconstructed") and told in note for note in made.notes), made.notes


def test_the_file_computes_what_was_learnt(network, monkeypatch):
    pairs, learnt = [], reconstruct._learnt

    def kept(draft, pair):
        pairs.append(pair)
        return learnt(draft, pair)

    monkeypatch.setattr(reconstruct, "_learnt", kept)
    made = quantized(network, recipe_of(LEARN), hold_back=0)
    name = pairs[0].outputs[0][1]
    want = pairs[0].quantized(torch.from_numpy(TESTS), {name})[name].detach().numpy()
    got = run(made.model, {"input": TESTS}, native=False)[0]
    assert np.abs(got - want).mean() < 0.01 * want.std()  # single codes fall to the other side


def test_fixed_batches_and_outputs_of_other_kinds():
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[4, 3, 8, 8] input) => (float[4, 256] y, int64[2] shape) {
            a = Conv <pads = [1, 1, 1, 1]> (input, w)  b = Relu (a)  c = Conv <pads = [1, 1, 1, 1]> (b, v)
            y = Reshape (c, to)  shape = Shape (y)
        }"""
    )
    arrays = {
        "w": RANDOM.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "v": RANDOM.standard_normal((4, 8, 3, 3)).astype(np.float32),
        "to": np.array([4, 256]),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in arrays.items())
    batches = [RANDOM.standard_normal((4, 3, 8, 8)).astype(np.float32) for _ in range(16)]
    made = quantized(model, recipe_of(LEARN), batches, hold_back=0)
    assert made.notes[-1].startswith("reconstruct: "), made.notes


def test_a_weight_of_two_layers_keeps_its_scale_and_their_biases_learn():
    model = parse(
        """g (float[N, 4, 8, 8] input) => (float[N, 4, 8, 8] y) {
            a = Conv <pads = [1, 1, 1, 1]> (input, w, b)  r = Relu (a)  y = Conv <pads = [1, 1, 1, 1]> (r, w)
        }""",
        {
            "w": RANDOM.standard_normal((4, 4, 3, 3)).astype(np.float32),
            "b": RANDOM.standard_normal(4).astype(np.float32),
        },
    )
    batches = [RANDOM.standard_normal((16, 4, 8, 8)).astype(np.float32) for _ in range(4)]
    asked = Recipe.of(act_bits=3, weight_bits=3, rounding="nearest")
    before, after = (
        quantized(model, replace(asked, steps=steps), batches, hold_back=0).plan for steps in ((), (LEARN,))
    )
    np.testing.assert_array_equal(after.weights["w"].dequantized(), before.weights["w"].dequantized())
    assert len(after.biases) == 2


def test_an_unknown_operator_is_named():
    model = parse(
        "g (float[N, 3, 8, 8] input) => (float[N, 4, 8, 8] y) { a = Conv <pads = [1, 1, 1, 1]> (input, w)  y = Erf (a) }",
        {"w": RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32)},
    )
    batch = [RANDOM.standard_normal((16, 3, 8, 8)).astype(np.float32)]
    made = quantized(model, recipe_of(LEARN), batch)
    assert any("operators Erf cannot be learnt through" in note for note in made.notes)


def test_options_and_their_mistakes(network):
    steps = Recipe.of(reconstruct=True, budget_seconds=5).steps
    assert steps is not None
    assert steps[-1] == Recipe.of(reconstruct=True, budget_seconds=5.0).steps[-1]
    with pytest.raises(OnnxqError, match="`budget_seconds` goes with `reconstruct`"):
        Recipe.of(budget_seconds=5)
    with pytest.raises(OnnxqError, match=r"`reconstruct\.seconds`"):
        Recipe.of(reconstruct=True, budget_seconds=0)
    with pytest.raises(OnnxqError, match="whole numbers"):
        recipe_of({"reconstruct": {"iterations": 1.5}})
    with pytest.raises(OnnxqError, match="images"):
        onnxq.quantize(network, None, Recipe.of(act_bits=None, reconstruct=True))


def test_without_torch_it_is_refused_before_any_work():
    code = (
        "import sys; sys.modules['torch'] = None; sys.path.insert(0, 'tests')\n"
        "from helpers import images, small_network\nimport onnxq\n"
        "class Batches:\n    def __iter__(self):\n        raise AssertionError('looked at images')\n"
        "try:\n    onnxq.quantize(small_network(1), None, onnxq.Recipe.of(reconstruct=True), "
        "images=Batches())\n"
        "except onnxq.OnnxqError as error:\n    assert \"pip install 'onnxq[torch]'\" in str(error), error\n"
        "else:\n    raise AssertionError('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
