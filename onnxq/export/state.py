"""Weights from files of torch. A part of ``export``; nothing in such a file is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from onnxq.errors import OnnxqError


def load_state(path: Path) -> dict[str, Any]:
    """A state dict, plain or inside a checkpoint."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise OnnxqError(f"{path}: no such file") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise OnnxqError(f"{path}: not a PyTorch state dict, or a truncated one") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise OnnxqError(f"{path}: not a PyTorch state dict")
    for name, value in content.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise OnnxqError(f"{path}: {name} is no plain tensor of real numbers")
    return {name.removeprefix("module."): value for name, value in content.items()}
