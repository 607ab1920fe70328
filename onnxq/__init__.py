"""onnxq: post-training quantization of convolutional networks in ONNX.

    model.onnx + images --calibrate--> statistics --quantize--> quantized.onnx --evaluate--> accuracy

Names are loaded when they are first used: ``import onnxq`` is quick and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from onnxq._version import __version__

if TYPE_CHECKING:
    from onnxq.comparison.compare import compare
    from onnxq.core.statistics import Statistics
    from onnxq.data.datasets import open_dataset
    from onnxq.data.loader import Loader, choose
    from onnxq.data.preprocessing import Preprocessing
    from onnxq.errors import OnnxqError
    from onnxq.evaluation.evaluate import Evaluation, evaluate
    from onnxq.export.torchvision import export_model
    from onnxq.flow import Quantized, quantize
    from onnxq.graph.expand import expand
    from onnxq.graph.model_files import load_model, metadata, save_model
    from onnxq.inspection.check import check
    from onnxq.inspection.show import show
    from onnxq.observe.calibrate import calibrate
    from onnxq.recipe import Activations, Override, Recipe, Weights
    from onnxq.recipe.files import load_recipe
    from onnxq.refine.equalize import equalize
    from onnxq.runtime.library import get_library_path
    from onnxq.runtime.sessions import session_options


_HOME = {
    "Activations": "recipe",
    "Evaluation": "evaluation.evaluate",
    "Loader": "data.loader",
    "OnnxqError": "errors",
    "Override": "recipe",
    "Preprocessing": "data.preprocessing",
    "Quantized": "flow",
    "Recipe": "recipe",
    "Statistics": "core.statistics",
    "Weights": "recipe",
    "calibrate": "observe.calibrate",
    "check": "inspection.check",
    "choose": "data.loader",
    "compare": "comparison.compare",
    "equalize": "refine.equalize",
    "evaluate": "evaluation.evaluate",
    "expand": "graph.expand",
    "export_model": "export.torchvision",
    "get_library_path": "runtime.library",
    "load_model": "graph.model_files",
    "load_recipe": "recipe.files",
    "metadata": "graph.model_files",
    "open_dataset": "data.datasets",
    "quantize": "flow",
    "save_model": "graph.model_files",
    "show": "inspection.show",
    "session_options": "runtime.sessions",
}
__all__ = [
    "Activations",
    "Evaluation",
    "Loader",
    "OnnxqError",
    "Override",
    "Preprocessing",
    "Quantized",
    "Recipe",
    "Statistics",
    "Weights",
    "__version__",
    "calibrate",
    "check",
    "choose",
    "compare",
    "equalize",
    "evaluate",
    "expand",
    "export_model",
    "get_library_path",
    "load_model",
    "load_recipe",
    "metadata",
    "open_dataset",
    "quantize",
    "save_model",
    "session_options",
    "show",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'onnxq' has no attribute {name!r}")
    return getattr(importlib.import_module(f"onnxq.{_HOME[name]}"), name)
