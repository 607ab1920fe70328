"""Who writes the files of a target. The entrance of ``rewrite``."""

from __future__ import annotations

from collections.abc import Callable

import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.rewrite.make_bit_true import make_bit_true
from onnxq.rewrite.quantize_linear import quantize_linear
from onnxq.rewrite.round_parameters import round_parameters
from onnxq.rewrite.write_activations import write_activations
from onnxq.rewrite.write_biases import write_biases
from onnxq.rewrite.write_weights import write_weights

Writer = Callable[[gs.Graph, Plan], tuple[str, ...]]
WRITERS: dict[str, Writer] = {}  # by ``Target.writer``


def writer(name: str) -> Callable[[Writer], Writer]:
    """Decorate a function that rewrites a graph by a plan, and returns what could not be expressed, a sentence each."""

    def decorate(function: Writer) -> Writer:
        WRITERS[name] = function
        return function

    return decorate


def carry_out(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Rewrite a normalized graph by a plan; returns what could not be expressed, a sentence each."""
    write_biases(graph, plan)
    return WRITERS[plan.target.writer](graph, plan)


@writer("onnxq")
def _onnxq(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """onnxq's operators and packed weights."""
    round_parameters(graph, plan)
    write_activations(graph, plan)
    write_weights(graph, plan)
    return () if plan.exact_products else make_bit_true(graph, plan)


@writer("qdq")
def _qdq(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Standard QuantizeLinear and DequantizeLinear."""
    return quantize_linear(graph, plan)
