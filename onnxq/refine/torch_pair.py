"""The float and the quantized network of a draft in torch. A part of ``refine``, called by ``reconstruct``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_graphsurgeon as gs
import torch
from numpy.typing import NDArray

from onnxq.core.granularity import Granularity
from onnxq.core.layers import Layer
from onnxq.recipe.targets import TARGETS
from onnxq.reconstruction.comparison import Pairs
from onnxq.reconstruction.network import LearntLayer, TorchNetwork, unknown_operators
from onnxq.refine.judge import is_of_images
from onnxq.refine.refinement import Draft
from onnxq.refine.settle import node_of, settle
from onnxq.rewrite import carry_out
from onnxq.runtime.graph_session import graph_session

TOLERANCE = 1e-3  # of the largest output, that torch may be away from ONNX Runtime


@dataclass(frozen=True)
class Simulated:
    """The quantized network as a graph: weights and biases constants, nodes sorted.

    Attributes:
        tensors: the planned tensor that a node reads first, by node.
    """

    graph: gs.Graph
    tensors: Mapping[str, str]


def simulated(draft: Draft) -> Simulated:
    """In onnxq's operators, whatever the target."""
    graph = draft.graph.copy()
    # by object: outputs of the network lose their names to what is quantized
    planned = {id(tensor): name for name, tensor in graph.tensors().items() if name in draft.plan.activations}
    carry_out(graph, replace(draft.plan, weights={}, biases={}, target=TARGETS.parse("onnxq")))
    for layer in draft.layers:
        bias = None if layer.computed_bias else draft.bias(layer)
        settle(graph, layer.name, draft.plan.weights[layer.weight_name].dequantized(), bias)
    reads = {
        node.name: planned[id(tensor)] for node in graph.nodes for tensor in node.inputs[:1] if id(tensor) in planned
    }
    return Simulated(graph.toposort(), reads)


@dataclass(frozen=True)
class TorchPair:
    """Both networks, and what is to be compared.

    Attributes:
        tensors: of ``Simulated``.
    """

    exact: TorchNetwork
    quantized: TorchNetwork
    layers: Pairs
    outputs: Pairs
    tensors: Mapping[str, str]


def torch_pair(draft: Draft, images: NDArray[np.float32], device: str) -> TorchPair | str:
    """Both networks, or why there are none.

    Args:
        images: float32 [N, ...], on which torch is compared with ONNX Runtime.
    """
    exact, quantized = draft.graph.copy().toposort(), simulated(draft)
    unknown = dict.fromkeys([*unknown_operators(exact), *unknown_operators(quantized.graph)])
    if unknown:
        return f"operators {', '.join(unknown)} cannot be learnt through"
    networks = TorchNetwork(exact, device, {}), _learnt_network(draft, quantized, device)
    outputs = [(first.name, second.name) for first, second in zip(exact.outputs, quantized.graph.outputs, strict=True)]
    layers = [(_made_by(exact, layer), _made_by(quantized.graph, layer)) for layer in draft.layers]
    wanted = graph_session(draft.graph.copy(), draft.source, "cpu").run(None, {exact.inputs[0].name: images})
    compared = []
    try:
        x = torch.from_numpy(images).to(device)
        with torch.no_grad():
            made = networks[0](x, {first for first, _ in outputs})
            networks[1](x, {second for _, second in (*layers, *outputs)})
        for pair, want in zip(outputs, wanted, strict=True):
            got = made[pair[0]].cpu().numpy()
            if is_of_images(want, images):
                np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * float(np.abs(want).max()))
                compared.append(pair)
    except Exception as error:  # whatever torch raises about a form of an operator that is not known here
        return f"torch does not compute what ONNX Runtime does ({type(error).__name__})"
    if not compared:
        return "no output of the network is made of numbers for each image"
    return TorchPair(*networks, tuple(layers), tuple(compared), quantized.tensors)


def _learnt_network(draft: Draft, network: Simulated, device: str) -> TorchNetwork:
    """The quantized network with what can be learnt, and nothing learnt yet."""
    made = TorchNetwork(network.graph, device, _learnt_layers(draft, network.graph, device))
    by_tensor = {network.tensors[name]: quantizer for name, quantizer in made.quantizers.items()}
    for tensor, quantizer in by_tensor.items():
        shared = draft.plan.points[tensor].shares
        if shared in by_tensor:
            quantizer.log_factor = by_tensor[shared].log_factor
    return made


def _learnt_layers(draft: Draft, graph: gs.Graph, device: str) -> dict[str, LearntLayer]:
    """Weights and biases to begin with."""
    uses = Counter(layer.weight_name for layer in draft.layers)
    found = {}
    for layer in draft.layers:
        read = node_of(graph, layer.name).inputs[1 : 2 if layer.computed_bias else 3]
        constants = [torch.from_numpy(np.array(tensor.values)).to(device) for tensor in read]
        gains = _gains(draft, layer) if uses[layer.weight_name] == 1 else 0  # a weight of several layers stays
        found[layer.name] = LearntLayer(constants[0], constants[1] if len(constants) > 1 else None, gains)
    return found


def _gains(draft: Draft, layer: Layer) -> int:
    """How many factors the format of a layer's weight can have: one for each channel, one, or none."""
    if not draft.recipe.weight_choice([layer]).format.holds_scale:
        return 0
    return 1 if draft.recipe.weights.granularity is Granularity.PER_TENSOR else layer.channels


def _made_by(graph: gs.Graph, layer: Layer) -> str:
    return str(node_of(graph, layer.name).outputs[0].name)
