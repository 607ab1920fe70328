"""What QuantizeLinear and DequantizeLinear say about a graph, as written. A part of ``inspection``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.graph.clamps import CLAMPS
from onnxq.operators import DOMAIN

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeLSTM")
INTEGER_LAYERS = ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger")


def held_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node: those of If, Loop and Scan."""
    return [each for entry in node.attribute for each in (*([entry.g] if entry.HasField("g") else []), *entry.graphs)]


def quantizes(node: onnx.NodeProto) -> bool:
    """Whether a node makes codes, or reads them: of onnxq, or of any other tool."""
    return node.domain == DOMAIN or node.op_type in (*QUANTIZERS, *INTEGER_LAYERS) or node.op_type.startswith("QLinear")


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether anything in a file is quantized."""
    return any(map(quantizes, model.graph.node))


class QuantizedGraph:
    """Producers, readers and quantizers of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            held = [attribute.t for attribute in node.attribute if attribute.HasField("t")]
            if node.op_type == "Constant" and held:
                self.constants[node.output[0]] = held[0]
        self.outputs = {entry.name for entry in model.graph.output}
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self._from_constants = set(self.constants)
        for node in model.graph.node:  # each behind what it reads
            if node.input and all(name in self._from_constants for name in node.input if name):
                self._from_constants.update(node.output)

    @cached_property
    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that read a tensor."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    @property
    def layers(self) -> list[onnx.NodeProto]:
        """Nodes that multiply."""
        return [node for node in self.graph.node if node.op_type in (*LAYERS, *INTEGER_LAYERS)]

    def dequantizer(self, name: str) -> onnx.NodeProto | None:
        """The DequantizeLinear that makes a tensor."""
        maker = self.makers.get(name)
        return maker if maker is not None and maker.op_type == "DequantizeLinear" else None

    def quantizers(self, name: str) -> list[onnx.NodeProto]:
        """The QuantizeLinear nodes that read a tensor, behind a Relu or Clip too; empty if anything else reads it."""
        readers = self.readers.get(name, [])
        if name in self.outputs or not readers:
            return []
        found: list[onnx.NodeProto] = []
        for reader in readers:
            behind = [reader]
            if reader.op_type in CLAMPS:
                behind = self.quantizers(reader.output[0])
            if not behind or any(node.op_type != "QuantizeLinear" for node in behind):
                return []
            found += behind
        return found

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is made of initializers alone."""
        return name in self._from_constants

    def stored(self, name: str) -> onnx.TensorProto | None:
        """The constant behind a constant tensor: what a Cast or a function makes it of."""
        while name not in self.constants:
            maker = self.makers.get(name)
            if maker is None or not maker.input:
                return None
            name = maker.input[0]
        return self.constants[name]

    def type_of(self, quantizer: onnx.NodeProto) -> str:
        """The type of the codes of a QuantizeLinear or DequantizeLinear, like UINT8."""
        if len(quantizer.input) > 2 and (zero_point := self.stored(quantizer.input[2])) is not None:
            return onnx.TensorProto.DataType.Name(zero_point.data_type)
        types = {each.name: each.i for each in quantizer.attribute}
        if types.get("output_dtype"):
            return onnx.TensorProto.DataType.Name(types["output_dtype"])
        codes = self.stored(quantizer.input[0]) if quantizer.op_type == "DequantizeLinear" else None
        return onnx.TensorProto.DataType.Name(codes.data_type) if codes is not None else "UINT8"

    def values_of(self, quantizer: onnx.NodeProto, place: int) -> NDArray[np.generic] | None:
        """Scale (1) or zero point (2) of a quantizer, where it is constant."""
        if len(quantizer.input) <= place or quantizer.input[place] not in self.constants:
            return None
        return numpy_helper.to_array(self.constants[quantizer.input[place]])

    def activation_quantizers(self) -> Iterator[onnx.NodeProto]:
        """The QuantizeLinear nodes."""
        return (node for node in self.graph.node if node.op_type == "QuantizeLinear")

    def weight_types(self) -> dict[str, int]:
        """How the weights of layers are stored, and how many of them."""
        found: Counter[str] = Counter()
        for name in dict.fromkeys(layer.input[1] for layer in self.layers if layer.op_type in LAYERS):
            if not self.is_constant(name):
                continue
            dequantizer = self.dequantizer(name)
            maker = self.makers.get(dequantizer.input[0] if dequantizer is not None else name)
            if maker is not None and maker.domain == DOMAIN:
                found["bit stream"] += 1
            elif (stored := self.stored(name)) is not None:
                found[onnx.TensorProto.DataType.Name(stored.data_type)] += 1
        return dict(found)
