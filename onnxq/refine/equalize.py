"""Cross-layer equalization: one range for a whole tensor fits all of its channels.

Nagel et al., ICCV 2019 (Data-Free Quantization through Weight Equalization and Bias Correction), with ranges of
activations in place of those of the first layer's weights, which per-channel scales make irrelevant.

A refinement of the model, before it is calibrated; called by the command line.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.core.checks import check_type
from onnxq.core.statistics import Statistics
from onnxq.errors import OnnxqError
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.model_files import as_model, fingerprint
from onnxq.graph.normalize import normalize
from onnxq.graph.pairs import Pair, pairs_of
from onnxq.graph.understanding import understanding
from onnxq.refine.scale_channels import scale_channels
from onnxq.runtime.sessions import check_loads

FloatArray = NDArray[np.float64]
LARGEST = 2.0**10  # factor: beyond it a channel is as good as dead


def equalize(model: onnx.ModelProto | str | Path, statistics: Statistics | str | Path) -> tuple[onnx.ModelProto, int]:
    """A float model that computes the same, with channels of more equal ranges; and how many tensors were scaled.

    Statistics of the model do not fit the result: calibrate that anew.

    Args:
        model: a float model, or its path. statistics: of that model, taken at ``inputs``, or their path.

    Raises:
        OnnxqError: a file cannot be read, or the statistics belong to another model or other points.
    """
    source = as_model(model)
    check_loads(source)
    check_type("statistics", statistics, (Statistics, str, Path))
    seen = Statistics.load(statistics) if isinstance(statistics, (str, Path)) else statistics
    seen.check_belongs(fingerprint(source))
    with understanding():
        graph = to_graph(source)
        normalize(graph)
        pairs = pairs_of(graph)
    scaled = 0
    if pairs and not any(pair.tensor in seen.tensors for pair in pairs):
        raise OnnxqError("these statistics are not of the inputs of layers; calibrate with `points` inputs")
    for pair in pairs:
        if pair.tensor not in seen.tensors:
            continue
        factors = factors_of(pair, seen.tensors[pair.tensor].reach)
        scale_channels(pair, factors)
        scaled += bool((factors != 1).any())
    return to_model(graph, source), scaled


def factors_of(pair: Pair, reach: FloatArray) -> FloatArray:
    """What to multiply each channel between two layers by, float64 [C].

    With a = reach / max(reach), the share of the tensor's range that a channel uses, and w, the largest share that one
    of its weights in the second layer has of a row's largest: f = 1 / a in front of a depthwise layer, which has its
    own scale for each; elsewhere f = sqrt(w / a), since a channel that grows makes the weights that read it small
    beside their neighbours (DFQ, eq. 11), divided by max(f * a). Behind a Clip to u: f * u / max(reach), but at least
    1 and at most u / reach.

    Args:
        reach: float64 [C], the largest magnitude of each channel. One that is always zero gets the factor 1.
    """
    alive = reach > 0
    if not alive.any():
        return np.ones_like(reach)
    share = np.where(alive, reach / reach.max(), 1)
    factors = 1 / share
    if not pair.depthwise:
        weight = np.abs(pair.second.inputs[1].values.astype(np.float64)).reshape(*pair.second.inputs[1].shape[:2], -1)
        row = weight.max(axis=(1, 2), keepdims=True)
        column = (weight / np.where(row > 0, row, 1)).max(axis=(0, 2))
        factors = np.sqrt(np.where(column > 0, column, 1) * factors)
        factors /= (factors * share)[alive].max()
    if math.isfinite(pair.upper):  # the Clip stays where it is: it must cut what it cut, and nothing that was seen
        factors = np.clip(factors * pair.upper / reach.max(), 1, np.maximum(pair.upper / np.where(alive, reach, 1), 1))
    return np.where(alive, np.clip(factors, 1 / LARGEST, LARGEST), 1)
