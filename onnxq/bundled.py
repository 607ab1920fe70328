"""The demo models that come with onnxq."""

from __future__ import annotations

from pathlib import Path

from onnxq.errors import OnnxqError

DEMO_MODELS = ("demo_mobilenet_v2",)


def bundled_model(name: str) -> Path:
    """Path of a bundled ONNX file.

    Raises:
        OnnxqError: it is not there.
    """
    import onnxq

    for folder in onnxq.__path__:  # installed: onnxq/models; in a checkout: models beside the package
        for path in (Path(folder) / "models" / f"{name}.onnx", Path(folder).parent / "models" / f"{name}.onnx"):
            if path.is_file():
                return path
    raise OnnxqError(f"the bundled model {name} is not installed; reinstall onnxq")
