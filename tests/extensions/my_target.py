"""A target as a user would add it: 7-bit weights in standard operators, in files that say who they are for."""

from dataclasses import dataclass
from typing import ClassVar

from onnxq.recipe import TARGETS
from onnxq.recipe.targets.onnxruntime import OnnxRuntime
from onnxq.rewrite import WRITERS, writer


@TARGETS.register("seven-bits")
@dataclass(frozen=True)
class SevenBits(OnnxRuntime):
    writer: ClassVar = "seven-bits"
    weight_bits: ClassVar = (7, 8)


@writer("seven-bits")
def write(graph, plan):
    graph.doc_string = "seven bits"
    return (*WRITERS["qdq"](graph, plan), "for processors without VNNI")
