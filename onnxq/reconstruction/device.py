"""Where torch computes, and how. A part of ``reconstruction``."""

from __future__ import annotations

from typing import Any

import torch


def device_for(provider: str) -> str:
    """Where ONNX Runtime is, 'cuda' or 'cuda:N', if torch can be there too, else 'cpu'."""
    return provider if provider.startswith("cuda") and torch.cuda.is_available() else "cpu"


def exact_and_repeatable() -> Any:
    """A context without TF32, which would round products to 10 bits of mantissa, and with algorithms that repeat."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
