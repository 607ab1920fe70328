"""onnxq: post-training quantization of convolutional networks in ONNX.

    model.onnx + images --calibrate--> statistics --quantize--> quantized.onnx --evaluate--> accuracy

Names are loaded when they are first used: ``import onnxq`` is quick and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxq.calibration import calibrate
    from onnxq.datasets import open_dataset
    from onnxq.equalization import equalize
    from onnxq.errors import OnnxqError
    from onnxq.evaluation import Evaluation, evaluate
    from onnxq.export import export_model
    from onnxq.files import load_model, save_model
    from onnxq.loader import Loader, choose
    from onnxq.preprocessing import Preprocessing
    from onnxq.quantization import Quantized, quantize
    from onnxq.recipe import Recipe
    from onnxq.runtime import get_library_path, session_options
    from onnxq.statistics import Statistics

__version__ = "0.1.0"

_HOME = {
    "Evaluation": "evaluation",
    "Loader": "loader",
    "OnnxqError": "errors",
    "Preprocessing": "preprocessing",
    "Quantized": "quantization",
    "Recipe": "recipe",
    "Statistics": "statistics",
    "calibrate": "calibration",
    "choose": "loader",
    "equalize": "equalization",
    "evaluate": "evaluation",
    "export_model": "export",
    "get_library_path": "runtime",
    "load_model": "files",
    "open_dataset": "datasets",
    "quantize": "quantization",
    "save_model": "files",
    "session_options": "runtime",
}
__all__ = [
    "Evaluation",
    "Loader",
    "OnnxqError",
    "Preprocessing",
    "Quantized",
    "Recipe",
    "Statistics",
    "calibrate",
    "choose",
    "equalize",
    "evaluate",
    "export_model",
    "get_library_path",
    "load_model",
    "open_dataset",
    "quantize",
    "save_model",
    "session_options",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'onnxq' has no attribute {name!r}")
    return getattr(importlib.import_module(f"onnxq.{_HOME[name]}"), name)
