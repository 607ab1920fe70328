"""Rewrite: carry out a plan on a graph. No statistics, no formulas.

Called by the flow, and by ``refine`` where it measures a quantized network. One file a part of the graph; ``writers``
says which of them a target's file is made by.
"""

from onnxq.rewrite.writers import WRITERS, carry_out, writer

__all__ = ["WRITERS", "carry_out", "writer"]
