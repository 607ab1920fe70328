"""Recipes: what a user asks for, composed of formats, clipping rules, points, a target, steps and overrides.

numpy and YAML only: neither ONNX nor a session. Read by ``decide`` and by the flow.
"""

from onnxq.recipe.override import Override
from onnxq.recipe.parts import Activations, Weights
from onnxq.recipe.points import POINTS, Points
from onnxq.recipe.recipe import Recipe
from onnxq.recipe.steps import STEPS, Step
from onnxq.recipe.targets import TARGETS

__all__ = ["POINTS", "STEPS", "TARGETS", "Activations", "Override", "Points", "Recipe", "Step", "Weights"]
