"""Where torch computes, and how. A part of ``reconstruction``."""

from __future__ import annotations

from typing import Any

import torch


def device_for(provider: str) -> str:
    """'cuda' where ONNX Runtime is there too and torch can be, else 'cpu'."""
    return "cuda" if provider == "cuda" and torch.cuda.is_available() else "cpu"


def exact_and_repeatable() -> Any:
    """A context without TF32, which would round products to 10 bits of mantissa, and with algorithms that repeat."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
