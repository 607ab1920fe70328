"""Quantization points: from the structure of a network to where quantizers sit. Nobody else decides that.

A part of ``recipe``. Importing this package registers the points that come with onnxq.
"""

from onnxq.recipe.points import inputs, integer, outputs
from onnxq.recipe.points.base import POINTS, Points

__all__ = ["POINTS", "Points", "inputs", "integer", "outputs"]
