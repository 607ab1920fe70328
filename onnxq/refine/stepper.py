"""Run the float and the quantized network side by side, layer by layer: all images through a piece before the next.

A part of ``refine``. What a layer is may be changed until the pieces behind it run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxq.core.feeds import Batch, as_batch
from onnxq.errors import OnnxqError, first_line
from onnxq.graph.segments import Kind, cut, segment_to, wanted_later
from onnxq.refine.refinement import Draft, Images, Run
from onnxq.refine.settle import node_of, settle
from onnxq.rewrite import carry_out
from onnxq.runtime.batches import arrays_of, check_shapes
from onnxq.runtime.graph_session import graph_session
from onnxq.runtime.tensor_store import TensorStore

Float32 = NDArray[np.float32]


@dataclass
class Stepper:
    """A network that ran so far; each node runs once.

    Attributes:
        graph: the network. source: the model that it was made from.
        store: where tensors are kept. name: apart from those of other networks.
        batches: how many there are. provider: as of ``onnxq.calibrate``.
    """

    graph: gs.Graph
    source: onnx.ModelProto
    store: TensorStore
    name: str
    provider: str
    batches: int = 0
    _available: set[str] = field(default_factory=set)
    _done: set[str] = field(default_factory=set)
    _kinds: dict[str, Kind] = field(default_factory=dict)

    def give(self, batch: Batch) -> None:
        """A batch of images."""
        for tensor, array in arrays_of(batch, [entry.name for entry in self.graph.inputs]).items():
            self._available.add(tensor)
            self._put(tensor, self.batches, array)
        self.batches += 1

    def _put(self, tensor: str, index: int, array: NDArray[Any]) -> None:
        kind = Kind.of(array)
        self._kinds[tensor] = self._kinds[tensor].merged(kind) if index else kind
        self.store.put(self._key(tensor), index, array)

    def batch(self, tensor: str, index: int) -> NDArray[Any]:
        """A batch of a tensor that was just asked for."""
        return self.store.get(self._key(tensor), index)

    def advance(self, tensor: str) -> None:
        """Run what a tensor needs; tensors that nothing needs any more are dropped.

        Raises:
            OnnxqError: a part cannot be run, or makes NaN or infinite values.
        """
        segment = segment_to(self.graph, tensor, self._available, self._done)
        self._done |= segment.nodes
        kept = wanted_later(self.graph, self._done) | {tensor}
        if segment.nodes:
            kinds = {name: self._kinds[name] for name in segment.reads}
            session = graph_session(cut(self.graph, segment, kinds), self.source, self.provider)
            for index in range(self.batches):
                feeds = {name: self.batch(name, index) for name in segment.reads}
                for name, values in zip(segment.makes, _run(session, segment.makes, feeds), strict=True):
                    self._put(name, index, values)
        self._available |= set(segment.makes)
        for name in self._available - kept:
            for index in range(self.batches):
                self.store.drop(self._key(name), index)
        self._available &= kept

    def _key(self, tensor: str) -> str:
        return f"{self.name}/{tensor}"


def _run(session: Any, names: tuple[str, ...], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    try:
        made: list[NDArray[Any]] = session.run(list(names), feeds)
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        raise OnnxqError(f"the network cannot be run up to {names[0]}: {first_line(error)}") from error
    for name, values in zip(names, made, strict=True):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise OnnxqError(f"tensor {name} has NaN or infinite values")
    return made


@dataclass
class Pair:
    """The float network and the quantized one, of which layers are settled one by one.

    Attributes:
        images: how many there are. images_of_first_batch: of these.
    """

    exact: Stepper
    quantized: Stepper
    images: int
    images_of_first_batch: int = 1

    def inputs(self, layer: str) -> Iterator[tuple[Float32, Float32]]:
        """What a layer reads in both networks, batch by batch; nothing where it reads a constant."""
        steppers = self.exact, self.quantized
        tensors = [node_of(stepper.graph, layer).inputs[0] for stepper in steppers]
        if any(isinstance(tensor, gs.Constant) for tensor in tensors):
            return
        names = [tensor.name for tensor in tensors]
        for stepper, name in zip(steppers, names, strict=True):
            stepper.advance(name)
        for index in range(self.exact.batches):
            first, second = (stepper.batch(name, index) for stepper, name in zip(steppers, names, strict=True))
            yield first, second

    def share(self, position: int, count: int) -> int:
        """The part of the images that stands for one of ``count`` pieces of work."""
        return self.images * (position + 1) // count - self.images * position // count

    def settle(self, layer: str, weight: Float32, bias: Float32 | None) -> None:
        """What a layer of the quantized network computes with; None leaves its bias as it is."""
        settle(self.quantized.graph, layer, weight, bias)


@contextmanager
def side_by_side(draft: Draft, images: Images, run: Run) -> Iterator[Pair]:
    """Both networks of a draft, all activations of the quantized one quantized, and no weight: those are to be settled.

    Raises:
        OnnxqError: there are no images.
    """
    graph = draft.graph.copy()
    carry_out(graph, replace(draft.plan, weights={}, biases={}, rounded_parameters=None, exact_products=True))
    declared = {entry.name: entry.shape or () for entry in graph.inputs}
    with TensorStore() as store:
        exact, quantized = (
            Stepper(network, draft.source, store, name, run.provider)
            for name, network in (("float", draft.graph.copy()), ("quantized", graph))
        )
        count = first = 0
        for given in images:
            batch = as_batch(given)
            check_shapes(declared, batch, "the model")
            own = batch.copy()  # whoever makes batches may use the memory again
            for stepper in (exact, quantized) if len(batch) else ():
                stepper.give(own)
            count += len(batch)
            first = first or len(batch)
        if not count:
            raise OnnxqError("no images to round weights on")
        yield Pair(exact, quantized, count, first)
