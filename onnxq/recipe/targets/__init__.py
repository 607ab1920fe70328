"""Targets: facts about a runtime, one a file.

A part of ``recipe``; writers are in ``rewrite``. Importing this package registers the targets that come with onnxq.
"""

from onnxq.recipe.targets import onnxq, onnxruntime, qdq, tensorrt
from onnxq.recipe.targets.base import TARGETS

__all__ = ["TARGETS", "onnxq", "onnxruntime", "qdq", "tensorrt"]
