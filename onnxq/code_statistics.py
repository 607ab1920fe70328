"""How often each code of a quantized file occurs: weights from the file, activations from running it on images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.entropy import huffman_rate, shannon_entropy
from onnxq.files import load_model, metadata
from onnxq.grids.codebook import bounds_of
from onnxq.grids.packing import unpack
from onnxq.grids.uniform import broadcastable
from onnxq.operators import (
    DOMAIN,
    dequantize_codebook,
    dequantize_packed,
    fake_quantize,
    fake_quantize_codebook,
    fake_quantize_fixed_point,
    fake_quantize_mid_tread,
    fixed_point_conv,
)
from onnxq.runtime import check_batch, image_input, make_session, on_device, run

PACKED = (dequantize_packed.NAME, dequantize_codebook.NAME)
FAKE = (
    fake_quantize.NAME,
    fake_quantize_codebook.NAME,
    fake_quantize_fixed_point.NAME,
    fake_quantize_mid_tread.NAME,
    fixed_point_conv.NAME,
)
IMAGES_AT_ONCE = 4  # every quantized activation is held at once


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


def code_rates(path: str | Path, batches: Iterable[NDArray[np.float32]], *, provider: str = "auto") -> list[CodeRate]:
    """Rates of all quantized tensors of a file with onnxq operators.

    Args:
        batches: preprocessed images, float32 [N, C, H, W]; memory grows with the activations of four images.

    Returns:
        activations, then weights, in the order of the file; nothing for a float file.
    """
    model = load_model(path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.domain == DOMAIN]
    centred = '"scheme": "mid-tread"' in metadata(model).get("onnxq.recipe", "")
    weights = [_weight_rate(node, constants, centred) for node in nodes if node.op_type in PACKED]
    weights += [_wide_rate(constants[node.input[0]]) for node in model.graph.node if _is_wide(node, constants)]
    return [*_activation_rates(model, nodes, constants, batches, provider), *weights]


def mean_rate(rates: Iterable[CodeRate], kind: str, field: str) -> float:
    """``field`` of all tensors of a kind, weighted by their values."""
    chosen = [rate for rate in rates if rate.kind == kind]
    total: float = sum(getattr(rate, field) * rate.values for rate in chosen)
    return total / max(sum(rate.values for rate in chosen), 1)


def _weight_rate(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], centred: bool) -> CodeRate:
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


def _is_wide(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether it begins to dequantize codes of more than 8 bits."""
    codes = constants.get(node.input[0]) if node.op_type == "Cast" else None
    return codes is not None and codes.data_type == onnx.TensorProto.UINT16


def _wide_rate(codes: onnx.TensorProto) -> CodeRate:
    counts = np.unique(numpy_helper.to_array(codes), return_counts=True)[1]
    return _rate(codes.name.removesuffix("/codes"), "weight", counts, 16.0)


def _activation_rates(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    constants: dict[str, onnx.TensorProto],
    batches: Iterable[NDArray[np.float32]],
    provider: str,
) -> list[CodeRate]:
    sites = [node for node in nodes if node.op_type in FAKE]
    if not sites:
        return []
    wanted = [name for node in sites for name in (node.output[0], *_computed_parameters(node, constants))]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted)
    session = make_session(probe, provider)
    counted: list[Counter[float]] = [Counter() for _ in sites]
    fixed = isinstance(image_input(session).shape[0], int)
    for batch in batches:
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
            _fixed_width(node, constants, len(counter)),
        )
        for node, counter in zip(sites, counted, strict=True)
    ]


def _computed_parameters(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> list[str]:
    """Scale and zero point of dynamic ranges."""
    return [name for name in node.input[1:3] if node.op_type == fake_quantize.NAME and name not in constants]


def _codes(
    node: onnx.NodeProto, values: dict[str, NDArray[Any]], constants: dict[str, onnx.TensorProto]
) -> dict[float, int]:
    """Counts of the codes in a quantizer's output: what it multiplied by the scale."""

    def parameter(index: int) -> NDArray[Any]:
        name = node.input[index]
        return values[name] if name in values else numpy_helper.to_array(constants[name])

    if node.op_type == fake_quantize_fixed_point.NAME:
        codes = np.rint(values[node.output[0]] * np.exp2(parameter(1).astype(np.float32)))
    elif node.op_type == fake_quantize.NAME:
        codes = np.rint(values[node.output[0]] / parameter(1) + parameter(2))
    elif node.op_type == fixed_point_conv.NAME:
        fraction_bits = broadcastable(parameter(3), 4, 1)
        codes = np.rint(values[node.output[0]] * np.exp2(fraction_bits.astype(np.float32)))
    elif node.op_type == fake_quantize_codebook.NAME:
        codes = np.searchsorted(bounds_of(parameter(2)), values[node.output[0]] / parameter(1)).astype(np.float32)
    else:  # the outermost published codes are fractions
        codes = (values[node.output[0]] / parameter(1)).round(3)
    symbols, counts = np.unique(codes, return_counts=True)
    return dict(zip(symbols.tolist(), counts.tolist(), strict=True))


def _fixed_width(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], symbols: int) -> float:
    if node.op_type == fake_quantize.NAME:
        return float(numpy_helper.to_array(constants[node.input[3]]).mean())
    if node.op_type in (fake_quantize_fixed_point.NAME, fixed_point_conv.NAME):
        return float(next(attribute.i for attribute in node.attribute if attribute.name == "total_bits"))
    if node.op_type == fake_quantize_codebook.NAME:
        return float(np.ceil(np.log2(constants[node.input[2]].dims[0])))
    return float(np.log2(max(symbols, 1)))


def _rate(name: str, kind: str, counts: NDArray[np.int64], fixed: float) -> CodeRate:
    return CodeRate(name, kind, int(counts.sum()), fixed, shannon_entropy(counts), huffman_rate(counts))
