"""Figures of what onnxq computes, one a file. Called by the command line; they need matplotlib.

Importing this package registers the figures that come with onnxq.
"""

from onnxq.figures import bias, bit_allocation, clipping_error, levels, pareto, sweep, weights
from onnxq.figures.base import FIGURES, Figure

__all__ = ["FIGURES", "Figure", "bias", "bit_allocation", "clipping_error", "levels", "pareto", "sweep", "weights"]
