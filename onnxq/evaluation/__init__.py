"""Evaluate: run files on ONNX Runtime and measure: metrics side by side, and rates of codes.

Called by the command line and by whoever evaluates in Python. (Not ``evaluate``: that is the function's name.)
"""

from onnxq.evaluation.metrics import METRICS, Metric

__all__ = ["METRICS", "Metric"]
