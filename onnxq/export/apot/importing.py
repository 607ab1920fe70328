"""A checkpoint of the published APoT system to a quantized ONNX file. The entrance of ``export.apot``.

Weights are normalized, clipped and brought to their levels before batch norm is folded: folding first would change
what they are normalized by.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import torch
import torchvision
from numpy.typing import NDArray

from onnxq.core.qparams import QuantizedWeight
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.export.apot.architectures import ARCHS, BLOCKS, TORCHVISION
from onnxq.export.apot.checkpoint import Checkpoint, Thresholds, bits_in, read_checkpoint
from onnxq.export.apot.grids import GRIDS, Grid
from onnxq.export.apot.quantized_weights import GridWeight, on_end_grid, on_levels
from onnxq.export.cifar_resnet import CifarResNet
from onnxq.export.module import export_module
from onnxq.export.torchvision import for_size
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.model_files import set_metadata
from onnxq.graph.names import Names
from onnxq.rewrite.write_calls import write_calls

CIFAR = Preprocessing((3, 32, 32), None, None, (0.491, 0.482, 0.447), (0.247, 0.243, 0.262))
FLOAT = 32
BITS = (*range(2, 9), FLOAT)


def import_apot(
    path: str | Path,
    arch: str,
    *,
    bits: int | None = None,
    grid: str = "apot",
    preprocessing: Preprocessing | None = None,
) -> onnx.ModelProto:
    """Make a quantized file of a trained network: codes, levels and activation thresholds as they were trained.

    Args:
        path: the checkpoint. arch: one of ``ARCHS``.
        bits: that it was trained at, 2 to 8, or 32 for a float one; None where the path says it (``res20_3bit``).
        grid: its levels, by name: see ``GRIDS``. preprocessing: where it is not that of CIFAR-10 or ImageNet.

    Raises:
        OnnxqError: the file is no such checkpoint, does not fit the network, or its bits are not known.
    """
    if arch not in ARCHS:
        raise OnnxqError(f"`arch`: no {arch!r}; use one of {', '.join(ARCHS)}")
    if not Path(path).is_file():
        raise OnnxqError(f"{path}: no such file")
    width = bits_in(Path(path)) if bits is None else bits
    if bits is not None and bits not in BITS:
        raise OnnxqError(f"`bits` must be 2 to 8, or 32 for a float network, not {bits}")
    if width is None or width not in BITS:
        raise OnnxqError(f"{path} does not say its bits as res20_3bit does: give `bits`, 2 to 8, or 32 for a float one")
    checkpoint = read_checkpoint(Path(path))
    network, usual = _network(arch, checkpoint)
    weights = _on_grids(network, checkpoint, GRIDS[grid], width, str(path)) if width != FLOAT else {}
    model = export_module(network, preprocessing or usual, name=arch)
    if not weights:
        return model
    graph = to_graph(model)
    _write(graph, weights, checkpoint.thresholds, GRIDS[grid], width)
    quantized = to_model(graph, model)
    set_metadata(quantized, {"onnxq.imported": f"APoT checkpoint, {arch}, {grid}, {width} bits"})
    return quantized


def _network(arch: str, checkpoint: Checkpoint) -> tuple[torch.nn.Module, Preprocessing]:
    """The float network with the weights of a checkpoint, and its usual preprocessing."""
    last = [value for name, value in checkpoint.state.items() if name in ("fc.bias", "classifier.1.bias")]
    classes = len(last[0]) if last and last[0].ndim == 1 else 0
    if not classes:
        raise OnnxqError(f"the checkpoint does not fit {arch}: it has no last layer")
    if arch in BLOCKS:
        network: torch.nn.Module = CifarResNet(BLOCKS[arch], classes)
        usual = CIFAR
    else:
        network = torchvision.models.get_model(TORCHVISION[arch], weights=None, num_classes=classes)
        usual = for_size(Preprocessing(), 224)
    try:
        network.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise OnnxqError(f"the checkpoint does not fit {arch}: {lines[min(1, len(lines) - 1)].strip()}") from error
    return network, usual


def _on_grids(
    network: torch.nn.Module, checkpoint: Checkpoint, grid: Grid, bits: int, path: str
) -> dict[str, GridWeight]:
    """The weights of all layers on their grids, by name of the parameter; the network gets them, too."""
    _check_thresholds(network, checkpoint, path)
    found = {}
    for name, module in network.named_modules():
        if not isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            continue
        trained = checkpoint.thresholds.get(name)
        weight = module.weight.detach()
        try:
            placed = (
                on_end_grid(weight)
                if trained is None
                else on_levels(weight, trained.weight, grid.levels(bits, signed=True), bits)
            )
        except OnnxqError as error:
            raise OnnxqError(f"{path}: layer {name}: {error}") from error
        found[f"{name}.weight"] = placed
        module.weight.data = placed.values
    return found


def _check_thresholds(network: torch.nn.Module, checkpoint: Checkpoint, path: str) -> None:
    """All convolutions but the first one were trained with thresholds, and nothing else was."""
    convolutions = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)][1:]
    if missing := [name for name in convolutions if name not in checkpoint.thresholds]:
        raise OnnxqError(f"{path}: convolution {missing[0]} has no trained thresholds (act_alpha)")
    if others := [name for name in checkpoint.thresholds if name not in convolutions]:
        raise OnnxqError(f"{path}: {others[0]} has trained thresholds, and is no convolution behind the first one")


def _write(
    graph: gs.Graph, weights: dict[str, GridWeight], thresholds: dict[str, Thresholds], grid: Grid, bits: int
) -> None:
    """Replace the weights of layers by their codes, and quantize what each convolution reads by its own threshold."""
    names = Names(graph)
    for node in [node for node in graph.nodes if node.op in ("Conv", "Gemm")]:
        folded = node.inputs[1]
        name = folded.name.removesuffix(".folded")
        quantized = _folded(weights[name], folded.values)
        result = gs.Variable(names.fresh(f"{name}/dequantized"), np.float32, folded.values.shape)
        write_calls(graph, names, name, quantized.dequantizer_calls(), result)
        node.inputs[1] = result
        layer = name.removesuffix(".weight")
        if layer in thresholds:
            read = node.inputs[0]
            params = grid.activation(thresholds[layer].activation, bits)
            codes = gs.Variable(names.fresh(f"{layer}/quantized"), read.dtype, read.shape)
            write_calls(graph, names, layer, params.quantizer_calls(4), codes, read)
            node.inputs[0] = codes


def _folded(weight: GridWeight, folded: NDArray[np.float32]) -> QuantizedWeight:
    """The codes of a weight whose values were multiplied by a gain for each channel; the gain follows from both."""
    values = weight.values.numpy().reshape(len(folded), -1).astype(np.float64)
    products = (values * folded.reshape(values.shape)).sum(axis=1)
    squares = np.square(values).sum(axis=1)
    return weight.behind(np.where(squares > 0, products / np.maximum(squares, 1e-300), 0.0))
