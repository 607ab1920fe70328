"""Reconstruction: scales of activations and of weights, and biases, learnt from where rounding left off. A refinement.

All layers together, each one's output compared with the float network's (``onnxq.reconstruction``). Codes stay.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.checks import number
from onnxq.core.granularity import Granularity
from onnxq.core.layers import Layer
from onnxq.core.plan import Plan
from onnxq.errors import OnnxqError
from onnxq.formats.affine import AffineParams
from onnxq.graph.names import Names
from onnxq.recipe import Recipe
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import RECONSTRUCT, STEPS
from onnxq.recipe.targets import TARGETS
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.rewrite import carry_out
from onnxq.runtime.batches import check_shape
from onnxq.runtime.providers import resolve_provider

if TYPE_CHECKING:
    from onnxq.reconstruction.learning import Comparison, Outcome
    from onnxq.reconstruction.network import LearntLayer, TorchNetwork

JUDGING = 8  # one image of so many judges and does not teach
WITHOUT_TORCH = "reconstruction needs torch, which is not installed: `pip install torch`"


@STEPS.register(RECONSTRUCT)
@dataclass(frozen=True)
class Reconstruct(Refinement):
    """Learn by torch: on CUDA where ``provider`` is, else on the processor.

    The same images and seed give the same file on the same machine, where iterations and not seconds end it.

    Attributes:
        seconds, iterations: of learning, at most. images: of an iteration. seed: of their order.
    """

    passes: ClassVar[int] = 1

    seconds: float = 300.0
    iterations: int = 400
    images: int = 8
    seed: int = 0

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """Whether its parameters are in their ranges."""
        found = number("reconstruct.seconds", self.seconds, 1, 1e6)
        whole = all(isinstance(value, int) for value in (self.iterations, self.images, self.seed))
        if not whole or self.iterations < 1 or self.images < 1 or self.seed < 0:
            found.append("`reconstruct.iterations`, `images` and `seed` must be whole numbers, not negative")
        return found

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        problem = _problem(draft)
        if problem:
            return replace(draft, notes=(*draft.notes, f"nothing was reconstructed: {problem}"))
        from onnxq.reconstruction.learning import Schedule, learn

        pictures = _gathered(draft, images)
        judge = np.arange(len(pictures)) % JUDGING == JUDGING - 1
        if not judge.any():
            few = f"nothing was reconstructed: {len(pictures)} images are too few to learn from and to judge by"
            return replace(draft, notes=(*draft.notes, few))
        device = resolve_provider(run.provider)
        compared, tensors = _comparison(draft, device)
        shares = _Shares(len(pictures), run)
        schedule = Schedule(self.iterations, self.seconds, self.images, self.seed)
        outcome = learn(compared, pictures[~judge], pictures[judge], schedule, device, shares.reached)
        learnt = _learnt(draft, compared.quantized, tensors)
        return replace(draft, plan=learnt, notes=(*draft.notes, _told(draft, outcome)))


@dataclass
class _Shares:
    """Tells progress in images."""

    images: int
    run: Run
    told: int = 0

    def reached(self, share: float) -> None:
        images = int(share * self.images)
        if self.run.progress and images > self.told:
            self.run.progress(images - self.told)
            self.told = images


def _simulated(draft: Draft) -> tuple[gs.Graph, dict[str, str]]:
    """The quantized network, weights and biases constants, sorted; and the planned tensor that a node reads first."""
    graph = draft.graph.copy()
    planned = {id(tensor): name for name, tensor in graph.tensors().items() if name in draft.plan.activations}
    plan = replace(draft.plan, weights={}, biases={}, rounded_parameters=None, target=TARGETS.parse("onnxq"))
    carry_out(graph, plan)
    names = Names(graph)
    for layer in draft.layers:
        node = _node(graph, layer.name)
        weight = gs.Constant(names.fresh(f"{layer.name}/weight"), draft.plan.weights[layer.weight_name].dequantized())
        rest = list(node.inputs[2:])
        if not layer.computed_bias:
            rest = [gs.Constant(names.fresh(f"{layer.name}/bias"), draft.bias(layer))]
        node.inputs = [node.inputs[0], weight, *rest]
    # by object: outputs of the network lose their names to what is quantized
    reads = {
        node.name: planned[id(tensor)] for node in graph.nodes for tensor in node.inputs[:1] if id(tensor) in planned
    }
    return graph.toposort(), reads


def _problem(draft: Draft) -> str | None:
    """Why nothing can be learnt."""
    try:
        from onnxq.reconstruction.network import unknown_operators
    except ImportError:
        return WITHOUT_TORCH
    if len(draft.graph.inputs) != 1:
        return "the model has several inputs"
    if not draft.plan.exact_products:
        return "sums of rounded products cannot be learnt through"
    unknown = unknown_operators(draft.graph)
    unknown += [name for name in unknown_operators(_simulated(draft)[0]) if name not in unknown]
    return f"operators {', '.join(unknown)} cannot be learnt through" if unknown else None


def _gathered(draft: Draft, images: Images) -> NDArray[np.float32]:
    """All images, [N, ...].

    Raises:
        OnnxqError: there are none, or they are of different sizes.
    """
    batches = []
    for batch in images:
        check_shape(draft.graph.inputs[0].shape or (), batch, "the model")
        batches.append(batch.copy())
    if not batches:
        raise OnnxqError("no images to learn from")
    if len({batch.shape[1:] for batch in batches}) > 1:
        raise OnnxqError("`reconstruct` needs images of one size")
    return np.concatenate(batches)


def _comparison(draft: Draft, device: str) -> tuple[Comparison, dict[str, str]]:
    """Both networks in torch, and the planned tensor that each node of the quantized one reads first."""
    from onnxq.reconstruction.learning import Comparison
    from onnxq.reconstruction.network import TorchNetwork

    exact, (quantized, tensors) = draft.graph.copy().toposort(), _simulated(draft)
    networks = (
        TorchNetwork(exact, device, {}),
        TorchNetwork(quantized, device, _learnt_layers(draft, quantized, device)),
    )
    by_tensor = {tensors[name]: quantizer for name, quantizer in networks[1].quantizers.items()}
    for tensor, quantizer in by_tensor.items():
        quantizer.stretch.requires_grad_(_scales_are_free(draft.recipe))
        shared = draft.plan.points[tensor].shares
        if shared in by_tensor:
            quantizer.stretch = by_tensor[shared].stretch
    pairs = [(_made_by(exact, layer), _made_by(quantized, layer)) for layer in draft.layers]
    outputs = [(first.name, second.name) for first, second in zip(exact.outputs, quantized.outputs, strict=True)]
    return Comparison(*networks, tuple(pairs), tuple(outputs)), tensors


def _learnt_layers(draft: Draft, graph: gs.Graph, device: str) -> dict[str, LearntLayer]:
    """Weights and biases of the quantized network to begin with; a weight of several layers stays as it is."""
    import torch

    from onnxq.reconstruction.network import LearntLayer

    uses = Counter(layer.weight_name for layer in draft.layers)
    found = {}
    for layer in draft.layers:
        if uses[layer.weight_name] == 1:
            read = _node(graph, layer.name).inputs[1 : 2 if layer.computed_bias else 3]
            constants = [torch.from_numpy(np.array(tensor.values)).to(device) for tensor in read]
            weight, bias = [*constants, None][:2]
            assert weight is not None
            found[layer.name] = LearntLayer(weight, bias, _gains(draft, layer))
    return found


def _scales_are_free(recipe: Recipe) -> bool:
    """Whether the formats of activations can have any scale."""
    if recipe.activations is None or recipe.activations.format is None:
        return False
    formats = [recipe.activations.format, *(each.act_format for each in recipe.overrides)]
    return all(form.holds_scale for form in formats if form is not None)


def _gains(draft: Draft, layer: Layer) -> int:
    """How many factors the format of a layer's weight can have: one for each channel, one, or none."""
    weights = draft.recipe.weights
    if not draft.recipe.weight_choice([layer]).format.holds_scale:
        return 0
    return 1 if weights.granularity is Granularity.PER_TENSOR else layer.channels


def _learnt(draft: Draft, network: TorchNetwork, tensors: dict[str, str]) -> Plan:
    """The plan with what was learnt."""
    weights, biases, activations = dict(draft.plan.weights), dict(draft.plan.biases), dict(draft.plan.activations)
    for layer in draft.layers:
        if layer.name not in network.layers:
            continue
        found = network.layers[layer.name]
        gain = np.exp(found.gain.detach().cpu().numpy().astype(np.float64)).reshape(-1)
        if len(gain):
            weights[layer.weight_name] = weights[layer.weight_name].scaled(gain)
        if found.bias is not None:
            biases[layer.name] = found.bias.detach().cpu().numpy()
    for name, quantizer in network.quantizers.items():
        tensor = tensors[name]
        params = activations[tensor]
        assert isinstance(params, AffineParams)
        scale = quantizer.learnt_scale.detach().cpu().numpy().reshape(params.scale.shape)
        activations[tensor] = replace(params, scale=scale)
    return replace(draft.plan, weights=weights, biases=biases, activations=activations)


def _told(draft: Draft, outcome: Outcome) -> str:
    """What became of the errors on the images that judge."""
    (*before, output_before), (*after, output_after) = outcome.before, outcome.after
    worse = [layer.name for layer, old, new in zip(draft.layers, before, after, strict=True) if new > old]
    return (
        f"reconstruct, {outcome.iterations} iterations: relative error of layers {np.mean(before):.4g} to "
        f"{np.mean(after):.4g}, of the output {output_before:.4g} to {output_after:.4g}; "
        f"{len(worse)} of {len(before)} layers got worse" + (f", {worse[0]} first" if worse else "")
    )


def _made_by(graph: gs.Graph, layer: Layer) -> str:
    return str(_node(graph, layer.name).outputs[0].name)


def _node(graph: gs.Graph, name: str) -> gs.Node:
    return next(node for node in graph.nodes if node.name == name)
