"""The operator domain ``onnxq``, version 1.

Every operator is a model-local ONNX function written in standard operators: ONNX Runtime uses
the kernel of the native library where it is registered and inlines the function where it is
not. The function body is the specification; the numpy reference beside it and the kernels
equal it bit for bit. Called by ``graph`` when a model is exported.
"""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType

import onnx_graphsurgeon as gs
from onnx import FunctionProto, parser

from onnxq.core.operator_call import DOMAIN

VERSION = 1
__all__ = ["DOMAIN", "VERSION", "functions_of", "operator_function", "operator_module", "parse_function"]


def parse_function(body: str, opset: int) -> FunctionProto:
    """Parse an operator's body for a model of this opset (an inlined function must have the opset of its model)."""
    return parser.parse_function(f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>\n{body}')


def operator_function(name: str, opset: int) -> FunctionProto | None:
    """The function of an operator for models of this opset; one operator, ``FixedPointConv``, has none."""
    module = operator_module(name)
    function: FunctionProto | None = module.function(opset) if hasattr(module, "function") else None
    return function


def operator_module(name: str) -> ModuleType:
    """The file of an operator: its ``NAME`` and ``function``; of quantizers also ``codes``, ``width`` and ``grid``."""
    return import_module(f"onnxq.operators.{_snake(name)}")


def functions_of(graph: gs.Graph) -> list[FunctionProto]:
    """The functions of the onnxq operators in a graph."""
    used = sorted({node.op for node in graph.nodes if node.domain == DOMAIN})
    functions = [operator_function(name, graph.opset) for name in used]
    return [function for function in functions if function is not None]


def _snake(name: str) -> str:
    """
    >>> _snake("FakeQuantize")
    'fake_quantize'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
