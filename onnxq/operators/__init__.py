"""The operator domain ``onnxq``, version 1.

Every operator is a model-local ONNX function written in standard operators: ONNX Runtime uses
the kernel of the native library where it is registered and inlines the function where it is
not. The function body is the specification; the numpy reference beside it and the kernels
equal it bit for bit.
"""

from __future__ import annotations

from onnx import FunctionProto, parser

DOMAIN = "onnxq"
VERSION = 1


def parse_function(body: str, opset: int) -> FunctionProto:
    """Parse an operator's body for a model of this opset (an inlined function must have the opset of its model)."""
    return parser.parse_function(f'<domain: "{DOMAIN}", opset_import: ["" : {opset}]>\n{body}')
