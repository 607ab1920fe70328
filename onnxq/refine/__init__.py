"""Refine: steps that change a plan after it was decided, most of them by looking at images. One file a method.

Called by the flow, in the order of the recipe. Importing this package registers the steps that come with onnxq.
"""

from onnxq.recipe.steps import STEPS
from onnxq.refine import (
    biases_from_images,
    biases_from_statistics,
    budget,
    correct_outputs,
    gptq,
    match_outputs,
    reconstruct,
)
from onnxq.refine.refinement import Draft, Refinement, Run

__all__ = [
    "STEPS",
    "Draft",
    "Refinement",
    "Run",
    "biases_from_images",
    "biases_from_statistics",
    "budget",
    "correct_outputs",
    "gptq",
    "match_outputs",
    "reconstruct",
]
