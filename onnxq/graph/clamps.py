"""ReLU and its like. A part of ``graph``, called by the analysis and by the search for pairs of layers."""

from __future__ import annotations

import math

import onnx_graphsurgeon as gs

CLAMPS = ("Relu", "Clip")  # what they cut, a quantizer behind them can cut too


def clamp_from_zero(node: gs.Node) -> float | None:
    """The upper bound of a ReLU (infinite) or of a Clip whose lower bound is zero; None for any other node."""
    if node.op == "Relu":
        return math.inf
    bounds = [bound for bound in node.inputs[1:] if not bound.is_empty()] if node.op == "Clip" else []
    if not all(isinstance(bound, gs.Constant) for bound in bounds) or not bounds or node.inputs[1].is_empty():
        return None
    lower, upper = [*(float(bound.values) for bound in bounds), math.inf][:2]
    return upper if lower == 0 else None
