"""Clipping rules, one a file, each with its own parameters. numpy only.

Used by ``recipe`` and, through formats, by ``decide``. Importing this package registers the rules that come with onnxq.
"""

from onnxq.clipping import aciq, entropy, minmax, mse, percentile, published, spread
from onnxq.clipping.base import CLIPPINGS, Clipping

__all__ = ["CLIPPINGS", "Clipping", "aciq", "entropy", "minmax", "mse", "percentile", "published", "spread"]
