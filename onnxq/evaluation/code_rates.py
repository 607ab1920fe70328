"""How often each code of a quantized file occurs: weights from the file, activations from running it on images.

A part of ``evaluation``, for `onnxq eval --entropy`. What codes a node's output stands for, its operator's file says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.core.feeds import Batches, as_batch
from onnxq.core.metadata_keys import RECIPE
from onnxq.errors import OnnxqError
from onnxq.evaluation.entropy import huffman_rate, shannon_entropy
from onnxq.formats.mid_tread import MidTread
from onnxq.formats.packing import unpack
from onnxq.graph.model_files import load_model, metadata
from onnxq.operators import DOMAIN, dequantize_codebook, dequantize_packed, fixed_point_conv, operator_module
from onnxq.recipe import Recipe
from onnxq.runtime.batches import check_batch, on_device, run
from onnxq.runtime.sessions import make_session

PACKED = (dequantize_packed.NAME, dequantize_codebook.NAME)
IMAGES_AT_ONCE = 4  # every quantized activation is held at once
Constants = Mapping[str, onnx.TensorProto]


@dataclass(frozen=True)
class CodeRate:
    """Bits a value of one tensor, all channels coded together.

    Attributes:
        name: the tensor. kind: 'weight' or 'activation'.
        values: how many codes were counted (of an activation, for all images).
        fixed: bits a value at the widths in the file (mean over channels; log2 of the codes for a mid-tread grid).
        entropy: Shannon's bound. huffman: of a Huffman code for these codes.
    """

    name: str
    kind: str
    values: int
    fixed: float
    entropy: float
    huffman: float

    def to_json(self) -> dict[str, object]:
        """For the command's ``--json`` output."""
        return dict(vars(self))


def code_rates(path: str | Path, batches: Batches, *, provider: str = "auto") -> list[CodeRate]:
    """Rates of all quantized tensors of a file with onnxq operators.

    Args:
        batches: preprocessed images, float32 [N, C, H, W]; memory grows with the activations of four images.

    Returns:
        activations, then weights, in the order of the file; nothing for a float file.
    """
    model = load_model(path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.domain == DOMAIN]
    centred = _has_mid_tread_weights(model)
    weights = [_weight_rate(node, constants, centred) for node in nodes if node.op_type in PACKED]
    weights += [_wide_rate(constants[node.input[0]]) for node in model.graph.node if _is_wide(node, constants)]
    return [*_activation_rates(model, nodes, constants, batches, provider), *weights]


def mean_rate(rates: Iterable[CodeRate], kind: str, field: str) -> float:
    """``field`` of all tensors of a kind, weighted by their values."""
    chosen = [rate for rate in rates if rate.kind == kind]
    total: float = sum(getattr(rate, field) * rate.values for rate in chosen)
    return total / max(sum(rate.values for rate in chosen), 1)


def _weight_rate(node: onnx.NodeProto, constants: Constants, centred: bool) -> CodeRate:
    """``centred``: a code stands for a multiple of the step, whatever its channel; it is counted as that."""
    stream, widths = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
    shape = numpy_helper.to_array(constants[node.input[-1]])
    bits = np.broadcast_to(widths, shape[0])
    codes: NDArray[Any] = unpack(stream, bits, int(np.prod(shape[1:])))
    if centred:
        codes = codes - numpy_helper.to_array(constants[node.input[3]]).reshape(-1, 1)
    counts = np.unique(codes, return_counts=True)[1]
    name = node.output[0].removesuffix("/dequantized")
    return _rate(name, "weight", counts, float(bits.mean()))


def _is_wide(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether it begins to dequantize codes of more than 8 bits."""
    codes = constants.get(node.input[0]) if node.op_type == "Cast" else None
    return codes is not None and codes.data_type == onnx.TensorProto.UINT16


def _wide_rate(codes: onnx.TensorProto) -> CodeRate:
    counts = np.unique(numpy_helper.to_array(codes), return_counts=True)[1]
    return _rate(codes.name.removesuffix("/codes"), "weight", counts, 16.0)


def _activation_rates(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    constants: Constants,
    batches: Batches,
    provider: str,
) -> list[CodeRate]:
    sites = [node for node in nodes if hasattr(operator_module(node.op_type), "codes")]
    if not sites:
        return []
    wanted = [name for node in sites for name in (node.output[0], *_computed_parameters(node, constants))]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted)
    session = make_session(probe, provider)
    counted: list[Counter[float]] = [Counter() for _ in sites]
    fixed = any(isinstance(entry.shape[0], int) for entry in session.get_inputs() if entry.shape)
    for given in batches:
        batch = as_batch(given)
        check_batch(session, batch, "the model")
        step = len(batch) if fixed else IMAGES_AT_ONCE
        for start in range(0, len(batch), step):
            outputs = run(session, wanted, on_device(batch[start : start + step], session))
            values = dict(zip(wanted, outputs, strict=True))
            for node, counter in zip(sites, counted, strict=True):
                counter.update(_codes(node, values, constants))
    return [
        _rate(
            node.output[0].removesuffix("/quantized") if node.op_type == fixed_point_conv.NAME else node.input[0],
            "activation",
            np.array(list(counter.values()), np.int64),
            _width(node, constants, len(counter)),
        )
        for node, counter in zip(sites, counted, strict=True)
    ]


def _has_mid_tread_weights(model: onnx.ModelProto) -> bool:
    try:
        recipe = Recipe.from_json(metadata(model).get(RECIPE, "{}"))
    except OnnxqError:  # of another version
        return False
    return isinstance(recipe.weights.format, MidTread)


def _computed_parameters(node: onnx.NodeProto, constants: Constants) -> list[str]:
    """Inputs that the graph computes: scale and zero point of dynamic ranges."""
    return [name for name in node.input[1:] if name not in constants and node.op_type != fixed_point_conv.NAME]


def _codes(node: onnx.NodeProto, values: Mapping[str, NDArray[Any]], constants: Constants) -> dict[float, int]:
    """Counts of the codes in a quantizer's output."""
    parameters = _parameters(node, values, constants)
    codes = operator_module(node.op_type).codes(values[node.output[0]], parameters, _attributes(node))
    symbols, counts = np.unique(codes, return_counts=True)
    return dict(zip(symbols.tolist(), counts.tolist(), strict=True))


def _width(node: onnx.NodeProto, constants: Constants, symbols: int) -> float:
    width: float = operator_module(node.op_type).width(_parameters(node, {}, constants), _attributes(node), symbols)
    return width


def _parameters(node: onnx.NodeProto, values: Mapping[str, NDArray[Any]], constants: Constants) -> list[NDArray[Any]]:
    """Inputs behind the first one; nothing in the place of those that are not known."""
    known = {name: numpy_helper.to_array(constants[name]) for name in node.input[1:] if name in constants}
    return [values.get(name, known.get(name, np.zeros(0))) for name in node.input[1:]]


def _attributes(node: onnx.NodeProto) -> dict[str, int]:
    return {attribute.name: attribute.i for attribute in node.attribute}


def _rate(name: str, kind: str, counts: NDArray[np.int64], fixed: float) -> CodeRate:
    return CodeRate(name, kind, int(counts.sum()), fixed, shannon_entropy(counts), huffman_rate(counts))
