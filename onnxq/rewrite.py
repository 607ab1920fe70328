"""Carry out a plan on a graph."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxq.passes.make_bit_true import make_bit_true
from onnxq.passes.pack_weights import pack_weights
from onnxq.passes.quantize_activations import quantize_activations
from onnxq.passes.quantize_linear import quantize_linear
from onnxq.passes.round_parameters import round_parameters
from onnxq.plan import Plan


def carry_out(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Rewrite a normalized graph by a plan; returns what could not be expressed, a sentence each."""
    if plan.recipe.format == "qdq":
        return quantize_linear(graph, plan)
    if plan.recipe.weights == "fixed-point":
        round_parameters(graph, plan)
    quantize_activations(graph, plan)
    pack_weights(graph, plan)
    return make_bit_true(graph, plan) if plan.recipe.bit_true else ()
