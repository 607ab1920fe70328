"""The names of targets. A part of ``recipe.targets``; ``onnxq.core.target`` says what a target is."""

from __future__ import annotations

from onnxq.core.registry import Registry
from onnxq.core.target import Target

TARGETS: Registry[Target] = Registry("target", "onnxq.recipe.targets")
