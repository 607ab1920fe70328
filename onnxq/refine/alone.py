"""What the network makes where one layer alone computes with other numbers. A part of ``refine``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.feeds import Batch
from onnxq.core.layers import Layer
from onnxq.errors import OnnxqError, first_line
from onnxq.graph.names import Names
from onnxq.refine.judge import is_of_images, relative_errors
from onnxq.refine.refinement import Draft, Run
from onnxq.refine.settle import node_of
from onnxq.runtime.batches import arrays_of
from onnxq.runtime.graph_session import graph_session

WHOLE = 1.0  # the effect of a layer with which no output has the size that it had
Float32 = NDArray[np.float32]
Made = list[list[NDArray[Any]]]  # the outputs of each batch


@dataclass(frozen=True)
class Changed:
    """A layer, and what it computes with instead; no bias where it has none."""

    layer: Layer
    weight: Float32
    bias: Float32 | None


def effects_alone(
    draft: Draft,
    changes: Sequence[Sequence[Changed]],
    batches: Sequence[Batch],
    run: Run,
    done: Callable[[int], None] = lambda place: None,
) -> list[float]:
    """|y - y^|^2 of the float network's outputs by their variance over images, of each change alone: of one layer, or
    of several at once. A layer can be among them several times. ``done`` is told of each.

    Of several outputs the mean; those that are no numbers for each image do not count, nor those whose size changes.

    Raises:
        OnnxqError: no output counts, or the network cannot be run.
    """
    graph, names = draft.graph.copy(), Names(draft.graph)
    usual: dict[str, Float32] = {}
    given_as: dict[str, list[str]] = {}  # layer -> names of its weight, and of its bias
    for each in (part for change in changes for part in change):
        layer, bias = each.layer, each.bias  # what is computed with becomes inputs, so that one session serves all
        if layer.name not in given_as:
            node = node_of(graph, layer.name)
            usually = [layer.weight]
            if bias is not None:
                usually.append(np.zeros_like(bias) if layer.bias is None else layer.bias)
            made = [_input(graph, names, f"{layer.name}/changed", values) for values in usually]
            node.inputs = [node.inputs[0], *made, *node.inputs[1 + len(made) :]]
            given_as[layer.name] = [tensor.name for tensor in made]
            usual |= dict(zip(given_as[layer.name], usually, strict=True))
    given = [entry.name for entry in draft.graph.inputs]
    outputs = [output.name for output in graph.outputs]
    session = graph_session(graph, draft.source, run.provider)

    def run_with(changed: dict[str, Float32]) -> Made:
        try:
            return [session.run(outputs, {**arrays_of(batch, given), **usual, **changed}) for batch in batches]
        except OnnxqError:
            raise
        except Exception as error:  # onnxruntime raises its own family, without a common public base
            raise OnnxqError(f"the network cannot be run: {first_line(error)}") from error

    exact = run_with({})
    counted = [place for place in range(len(outputs)) if _is_counted(place, exact, batches)]
    if not counted:
        raise OnnxqError("no output of the network is numbers for each image: nothing to measure effects on")
    effects = []
    for place, change in enumerate(changes):
        own: dict[str, Float32] = {}
        for each in change:
            new = [each.weight] if each.bias is None else [each.weight, each.bias]
            own |= dict(zip(given_as[each.layer.name], new, strict=True))
        effects.append(_effect(counted, exact, run_with(own)))
        done(place)
    return effects


def _input(graph: gs.Graph, names: Names, wish: str, values: Float32) -> gs.Variable:
    tensor = gs.Variable(names.fresh(wish), np.float32, values.shape)
    graph.inputs.append(tensor)
    return tensor


def _is_counted(place: int, exact: Made, batches: Sequence[Batch]) -> bool:
    return all(is_of_images(made[place], batch) for made, batch in zip(exact, batches, strict=True))


def _effect(counted: Sequence[int], exact: Made, got: Made) -> float:
    found = []
    for place in counted:
        pairs = [(one[place], two[place]) for one, two in zip(exact, got, strict=True)]
        if all(one.shape == two.shape for one, two in pairs):  # else the data decide on sizes
            flat = [
                [each.reshape(len(each), -1).astype(np.float64) for each in side] for side in zip(*pairs, strict=True)
            ]
            found.append(float(relative_errors(*flat).sum()))
    effect = float(np.mean(found)) if found else WHOLE
    return effect if np.isfinite(effect) else WHOLE
