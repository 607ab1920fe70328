"""Reconstruction: scales of activations and of weights, and biases, learnt from where rounding left off. A refinement.

All layers together, each one's output compared with the float network's (``onnxq.reconstruction``). Codes stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.checks import number
from onnxq.core.feeds import as_batch
from onnxq.core.optional import optional
from onnxq.core.plan import Plan
from onnxq.errors import OnnxqError
from onnxq.formats.affine import AffineParams
from onnxq.graph.model_files import fixed_batch_size
from onnxq.recipe.parts import Activations
from onnxq.recipe.points import Points
from onnxq.recipe.steps import RECONSTRUCT, STEPS
from onnxq.refine.refinement import Draft, Images, Refinement, Run
from onnxq.runtime.batches import arrays_of, check_shapes
from onnxq.runtime.providers import resolve_provider

if TYPE_CHECKING:
    from onnxq.refine.torch_pair import TorchPair


@STEPS.register(RECONSTRUCT)
@dataclass(frozen=True)
class Reconstruct(Refinement):
    """Learn by torch: on CUDA where ``provider`` is and torch has it, else on the processor.

    The same images and seed give the same file on the same machine, where iterations and not seconds end it.

    Attributes:
        seconds, iterations: of learning, at most. images: of an iteration, where the model does not fix their number.
        seed: of their order.
    """

    passes: ClassVar[int] = 1

    seconds: float = 300.0
    iterations: int = 150
    images: int = 16
    seed: int = 0

    def problems(self, points: Points, activations: Activations | None) -> list[str]:
        """Whether its parameters are in their ranges."""
        found = number("reconstruct.seconds", self.seconds, 1, 1e6)
        whole = all(type(value) is int for value in (self.iterations, self.images, self.seed))
        if not whole or self.iterations < 1 or self.images < 1 or self.seed < 0:
            found.append(
                "`reconstruct.iterations` and `images` must be whole numbers above 0, `seed` one of at least 0"
            )
        return found

    def check_installed(self) -> None:
        """As ``Refinement.check_installed``."""
        optional("torch", "torch", "reconstruction needs torch, which is not installed")

    def apply(self, draft: Draft, images: Images, run: Run) -> Draft:
        """As ``Refinement.apply``."""
        problem = _problem(draft)
        if problem is not None:
            return _left(draft, problem)
        import torch

        from onnxq.reconstruction.comparison import Comparison
        from onnxq.reconstruction.device import device_for, exact_and_repeatable
        from onnxq.reconstruction.learning import Schedule, learn
        from onnxq.refine.torch_pair import torch_pair

        pictures = _gathered(draft, images)
        numbered = run.provider.startswith("cuda:")
        device = device_for(run.provider if numbered else resolve_provider(run.provider))
        size = fixed_batch_size(draft.source) or self.images
        with exact_and_repeatable():
            pair = torch_pair(draft, pictures[:size], device)
            if isinstance(pair, str):
                return _left(draft, pair)
            first = torch.from_numpy(pictures[:size]).to(device)
            compared = Comparison.of(pair.exact, pair.quantized, pair.layers, pair.outputs, first)
            schedule = Schedule(self.iterations, self.seconds, size, self.seed)
            losses = learn(compared, pictures, schedule, device, _Shares(len(pictures), run).reached)
        if any(not torch.isfinite(parameter).all() for parameter in pair.quantized.parameters()):
            return _left(draft, "what was learnt are no numbers")
        return replace(draft, plan=_learnt(draft, pair), notes=(*draft.notes, f"reconstruct: {losses}"))


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


def _left(draft: Draft, why: str) -> Draft:
    return replace(draft, notes=(*draft.notes, f"nothing was reconstructed: {why}"))


def _problem(draft: Draft) -> str | None:
    """Why nothing can be learnt, as far as the plan tells."""
    if len(draft.graph.inputs) != 1:
        return "the model has several inputs"
    if draft.plan.rounded_parameters is not None or not draft.plan.exact_products:
        return "biases and products are rounded to a number format, which cannot be learnt through"
    return None


def _gathered(draft: Draft, images: Images) -> NDArray[np.float32]:
    """All images, [N, ...].

    Raises:
        OnnxqError: there are none, or they are of different sizes.
    """
    batches = []
    for given in images:
        batch = as_batch(given)
        check_shapes({draft.graph.inputs[0].name: draft.graph.inputs[0].shape or ()}, batch, "the model")
        (array,) = arrays_of(batch, [draft.graph.inputs[0].name]).values()
        batches.append(array.copy())
    if not batches:
        raise OnnxqError("no images to learn from")
    if len({batch.shape[1:] for batch in batches}) > 1:
        raise OnnxqError("`reconstruct` needs images of one size")
    return np.concatenate(batches)


def _learnt(draft: Draft, pair: TorchPair) -> Plan:
    """The plan with what was learnt."""
    weights, biases, activations = dict(draft.plan.weights), dict(draft.plan.biases), dict(draft.plan.activations)
    for layer in draft.layers:
        found = pair.quantized.layers[layer.name]
        gain = np.exp(found.log_gain.detach().cpu().numpy().astype(np.float64)).reshape(-1)
        if len(gain):
            weights[layer.weight_name] = weights[layer.weight_name].scaled(gain)
        if found.bias is not None:
            biases[layer.name] = found.bias.detach().cpu().numpy()
    for name, quantizer in pair.quantized.quantizers.items():
        tensor = pair.tensors[name]
        params = activations[tensor]
        assert isinstance(params, AffineParams)
        scale = quantizer.learnt_scale.detach().cpu().numpy().reshape(params.scale.shape)
        activations[tensor] = replace(params, scale=scale)
    return replace(draft.plan, weights=weights, biases=biases, activations=activations)
