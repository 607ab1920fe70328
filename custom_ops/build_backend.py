"""The build backend: scikit-build-core's, which needs a CUDA compiler where CUDA kernels are wanted.

The compiler comes as Python packages of some 300 MB, so they are requirements only where ``ONNXQ_CUDA=ON`` says so, or,
unless it says ``OFF``, where there is a GPU.
"""

from __future__ import annotations

import os
from pathlib import Path

from scikit_build_core import build as backend
from scikit_build_core.build import *  # noqa: F403  # the hooks of PEP 517 and 660

COMPILER = [
    f"{name}==13.0.*; sys_platform == 'linux' and platform_machine == 'x86_64'"
    for name in ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm", "nvidia-cuda-runtime", "nvidia-cuda-cccl")
]


def wants_cuda() -> bool:
    """Whether CUDA kernels are asked for, or of use here."""
    asked = os.environ.get("ONNXQ_CUDA", "").upper()
    return asked in ("ON", "1", "TRUE") or (not asked and Path("/proc/driver/nvidia/version").exists())


def get_requires_for_build_wheel(config_settings: dict[str, str | list[str]] | None = None) -> list[str]:
    """As PEP 517."""
    return [*backend.get_requires_for_build_wheel(config_settings), *(COMPILER if wants_cuda() else [])]


def get_requires_for_build_editable(config_settings: dict[str, str | list[str]] | None = None) -> list[str]:
    """As PEP 660."""
    return [*backend.get_requires_for_build_editable(config_settings), *(COMPILER if wants_cuda() else [])]
