"""The demo models that come with onnxq. A part of ``data``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from onnxq.errors import OnnxqError

DEMO_MODELS = ("demo_mobilenet_v2",)


def bundled_model(name: str) -> Path:
    """Path of a bundled ONNX file.

    Raises:
        OnnxqError: it is not there.
    """
    spec = importlib.util.find_spec("onnxq")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    # A checkout has models/ beside the package; an installation has them inside.
    for path in [folder.parent / "models" for folder in folders] + [folder / "models" for folder in folders]:
        if (path / f"{name}.onnx").is_file():
            return path / f"{name}.onnx"
    raise OnnxqError(f"the bundled model {name} is not installed; reinstall onnxq")
