"""Observe: one streaming pass over calibration images, reduced to statistics inside the graph.

Called by the command line and by whoever calibrates in Python.
"""

from onnxq.observe.calibrate import calibrate

__all__ = ["calibrate"]
