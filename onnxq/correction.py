"""What quantization shifts in the mean output of each layer, measured on images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.graph_session import graph_session
from onnxq.passes.insert_twins import insert_twins
from onnxq.passes.pack_weights import pack_weights
from onnxq.passes.quantize_activations import quantize_activations
from onnxq.plan import Plan
from onnxq.runtime import finite_outputs

FloatArray = NDArray[np.float64]


def measured_shift(
    graph: gs.Graph,
    source: onnx.ModelProto,
    plan: Plan,
    batches: Iterable[NDArray[np.float32]],
    *,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> dict[str, FloatArray]:
    """The same, measured: each layer beside its quantized twin, both on the activations of the float network.

    Not on those of the quantized one: there, what a layer shifts shows up in all that follow, and correcting it in each
    of them would correct it many times (measured: that destroys the network).

    Args:
        graph: normalized; left as it is. source: the model it comes from.
        batches: preprocessed images, float32 [N, C, H, W].

    Returns:
        node name -> float64 [C].

    Raises:
        OnnxqError: the images do not fit the model, make NaN of it, or there are none.
    """
    measuring = graph.copy()
    twins, outputs = insert_twins(measuring, plan.layers)
    twin_plan = dataclasses.replace(plan, layers=tuple(twins))
    quantize_activations(measuring, twin_plan)
    pack_weights(measuring, twin_plan)
    session = graph_session(measuring, source, provider)
    total = [np.zeros(1) for _ in outputs]
    images = 0
    for batch, means in finite_outputs(session, outputs, batches, progress):
        total = [seen + mean.astype(np.float64) * len(batch) for seen, mean in zip(total, means, strict=True)]
        images += len(batch)
    if images == 0:
        raise OnnxqError("no images to correct biases on")
    return {name: shift / images for name, shift in zip(plan.layers, total, strict=True)}
