"""Targets: facts about a runtime, one a file.

A part of ``recipe``; writers are in ``rewrite``. Importing this package registers the targets that come with onnxq.
"""

from onnxq.recipe.targets import arm, onnxq, onnxruntime, openvino, qdq, qnn, tensorrt
from onnxq.recipe.targets.base import TARGETS

__all__ = ["TARGETS", "arm", "onnxq", "onnxruntime", "openvino", "qdq", "qnn", "tensorrt"]
