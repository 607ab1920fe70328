"""Decide: pure functions from statistics, weights and a recipe to a plan. numpy only: no ONNX here, no session.

Called by the flow (``onnxq.flow``); one file for activations, one for weights.
"""

from onnxq.decide.plan import decide

__all__ = ["decide"]
