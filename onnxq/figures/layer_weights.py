"""The weights that a figure shows: of one layer of a float model. A part of ``figures``."""

from __future__ import annotations

from collections.abc import Sequence

from onnxq.core.layers import Layer, how_named
from onnxq.errors import OnnxqError
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import load_model
from onnxq.graph.normalize import normalize


def chosen_layer(paths: Sequence[str], pattern: str | None) -> Layer:
    """A layer by one of its names, or a pattern; without one the convolution of most weights for a channel.

    Raises:
        OnnxqError: there is not one model, or it has no such layer.
    """
    if len(paths) != 1:
        raise OnnxqError("this figure is of one float model: give its file")
    graph = to_graph(load_model(paths[0]))
    normalize(graph)
    layers = [layer for layer in network_of(graph).layers if layer.weight.size]
    if pattern is not None:
        called = [layer for layer in layers if layer.is_called(pattern)]
        if not called:
            raise OnnxqError(f"`layer` {pattern}: {paths[0]} has no such layer; {how_named(layers)}")
        return called[0]
    inner = [layer for layer in layers if not layer.first_or_last] or layers
    if not inner:
        raise OnnxqError(f"{paths[0]} has no Conv or Gemm layer with constant weights")
    return max(inner, key=lambda layer: layer.weight[0].size)
