"""Small models and the ways to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import FunctionProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onnxq.allocation import ALLOCATIONS
from onnxq.core.operator_call import DOMAIN
from onnxq.decide.weights import quantize_alone
from onnxq.operators import VERSION
from onnxq.runtime.environment import inspect_environment
from onnxq.runtime.library import find_library, has_cuda_kernels
from onnxq.runtime.sessions import make_session, session_options

Feeds = dict[str, NDArray[np.generic]]

HAS_CUDA = not inspect_environment().providers["cuda"] and has_cuda_kernels()
# Where the fused integer kernels of ONNX Runtime do not saturate.
HAS_VNNI = "avx512_vnni" in (CPU := Path("/proc/cpuinfo").read_text()) or "avx_vnni" in CPU
# Where the kernels of the native library run.
KERNEL_PROVIDERS = [] if find_library() is None else ["cpu", "cuda"] if HAS_CUDA else ["cpu"]


def operator_model(
    function: FunctionProto,
    inputs: dict[str, tuple[int, int]],
    outputs: dict[str, tuple[int, int]],
    **attributes: int,
) -> onnx.ModelProto:
    """A model of one onnxq node; inputs and outputs are name -> (element type, rank)."""

    def values(items: dict[str, tuple[int, int]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, [None] * rank) for name, (kind, rank) in items.items()]

    node = helper.make_node(function.name, list(inputs), list(outputs), domain=DOMAIN, **attributes)
    graph = helper.make_graph([node], "one_node", values(inputs), values(outputs))
    model = helper.make_model(
        graph,
        functions=[function],
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, feeds: Feeds, native: bool, provider: str = "cpu") -> list[NDArray[np.generic]]:
    """Outputs of ONNX Runtime with the kernels, or with the function bodies."""
    outputs: list[NDArray[np.generic]] = make_session(model, provider, native=native).run(None, feeds)
    return outputs


def run_reference(model: onnx.ModelProto, feeds: Feeds) -> list[NDArray[np.generic]]:
    """Outputs of ONNX's own evaluator."""
    with np.errstate(all="ignore"):
        outputs: list[NDArray[np.generic]] = ReferenceEvaluator(model).run(None, feeds)  # type: ignore[assignment]
    return outputs


def assert_same_bits(got: NDArray[np.generic], want: NDArray[np.generic], what: str = "") -> None:
    """Equal type, shape and values; one NaN is as good as another, and so is one zero."""
    assert got.dtype == want.dtype, what
    assert got.shape == want.shape, what
    np.testing.assert_array_equal(got, want, err_msg=what)


def parse(text: str, initializers: Feeds | None = None) -> onnx.ModelProto:
    """A model in ONNX's text syntax, with initializers from arrays."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in (initializers or {}).items())
    onnx.checker.check_model(model)
    return model


def small_network(seed: int = 0) -> onnx.ModelProto:
    """Conv, Relu, MaxPool, a residual Add, Gemm: input [N, 3, 8, 8], 5 classes, preprocessing in its metadata."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (random.standard_normal(shape) * 0.4).astype(np.float32)

    model = parse(
        """small (float[batch,3,8,8] input) => (float[batch,5] logits) {
            a = Conv <pads = [1,1,1,1]> (input, w1, b1)
            ra = Relu (a)
            b = Conv <pads = [1,1,1,1]> (ra, w2)
            s = Add (b, ra)
            rs = Relu (s)
            p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (rs)
            c = Conv (p, w3, b3)
            rc = Clip (c, zero, six)
            g = GlobalAveragePool (rc)
            f = Flatten (g)
            logits = Gemm <transB = 1> (f, w4, b4)
        }""",
        {
            "w1": normal(6, 3, 3, 3), "b1": normal(6), "w2": normal(6, 6, 3, 3), "w3": normal(7, 6, 1, 1), "b3": normal(7),
            "w4": normal(5, 7), "b4": normal(5), "zero": np.float32(0), "six": np.float32(6),
        },
    )  # fmt: skip
    helper.set_model_props(
        model,
        {
            "input_size": "[3, 8, 8]",
            "resize": "null",
            "crop": "null",
            "mean": "[0.5, 0.5, 0.5]",
            "std": "[0.25, 0.25, 0.25]",
        },
    )
    return model


def images(count: int, shape: Sequence[int] = (3, 8, 8), seed: int = 1) -> NDArray[np.float32]:
    """Random model input."""
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


FLOAT, FLOAT16, INT8, INT32, INT64, UINT8, DOUBLE = (
    *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.DOUBLE),
)


def code_weight(weight, bits, recipe, *, allocate=False, threshold=None):
    """A weight of no layer, quantized by a recipe at these bits."""
    weights = replace(recipe.weights, bits=bits)
    if not allocate:
        weights = replace(weights, allocation=ALLOCATIONS.parse("none"))
    if threshold is not None:
        weights = replace(weights, format=replace(weights.format, threshold=threshold))
    return quantize_alone(weight, replace(recipe, weights=weights))


def fit_activation(observed, bits, recipe):
    """The parameters that a recipe gives an activation."""
    asked = recipe.resolved().activations
    if asked.format.has_widths:
        bits = np.broadcast_to(np.asarray(bits, np.int32), observed.channels)
    return asked.format.fit_activation(observed, bits, asked.clipping)


def exact_session(model):
    """A session that computes integer files as they are written, operator by operator.

    The fused kernels add products in pairs in 16 bits on processors with AVX2 or AVX-512 and without VNNI: 8-bit weights
    saturate there.
    """
    options = session_options(native=False)
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return make_session(model, options=options)
