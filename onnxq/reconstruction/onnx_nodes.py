"""ONNX nodes in torch, with gradients: what convolutional networks are made of. A part of ``reconstruction``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import onnx_graphsurgeon as gs
import torch
from torch import Tensor
from torch.nn import functional

from onnxq.core.padding import AUTOMATIC, same_pads

Attributes = dict[str, Any]
Operation = Callable[[Sequence[Any], Attributes], Any]


def _pads(attributes: Attributes, x: Tensor, kernel: Sequence[int]) -> list[int]:
    """As ``functional.pad`` wants them: the last axis first."""
    rank = len(kernel)
    kind = attributes.get("auto_pad", "NOTSET")
    pads = list(attributes.get("pads", [0] * 2 * rank))
    if kind in AUTOMATIC:
        starts, ends = same_pads(kind, x.shape[2:], kernel, *_steps(attributes, rank))
        pads = [*starts, *ends]
    return [pads[axis + rank * end] for axis in reversed(range(rank)) for end in (0, 1)]


def _steps(attributes: Attributes, rank: int) -> tuple[list[int], list[int]]:
    return list(attributes.get("strides", [1] * rank)), list(attributes.get("dilations", [1] * rank))


def _conv(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight, bias = [*inputs, None][:3]
    rank = weight.ndim - 2
    strides, dilations = _steps(attributes, rank)
    padded = functional.pad(x, _pads(attributes, x, weight.shape[2:]))
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    return convolve(padded, weight, bias, strides, 0, dilations, int(attributes.get("group", 1)))


def _gemm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight, bias = [*inputs, None][:3]
    weight = weight.T if attributes.get("transB", 0) else weight
    x = x.T if attributes.get("transA", 0) else x
    made = attributes.get("alpha", 1.0) * (x @ weight)
    return made if bias is None else made + attributes.get("beta", 1.0) * bias


def _max_pool(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    (x,), kernel = inputs, attributes["kernel_shape"]
    strides, dilations = _steps(attributes, len(kernel))
    padded = functional.pad(x, _pads(attributes, x, kernel), value=float("-inf"))
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[len(kernel) - 1]
    return pool(padded, kernel, strides, 0, dilations, bool(attributes.get("ceil_mode", 0)))


def _average_pool(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    (x,), kernel = inputs, attributes["kernel_shape"]
    strides, _ = _steps(attributes, len(kernel))
    pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[len(kernel) - 1]
    pads = _pads(attributes, x, kernel)
    ceil = bool(attributes.get("ceil_mode", 0))
    made = pool(functional.pad(x, pads), kernel, strides, 0, ceil)
    if any(pads) and not attributes.get("count_include_pad", 0):
        made = made / pool(functional.pad(torch.ones_like(x), pads), kernel, strides, 0, ceil)
    return made


def _clip(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, lower, upper = [*inputs, None, None][:3]
    return torch.clamp(x, lower, upper)


def _reduce_mean(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x = inputs[0]
    axes = inputs[1].tolist() if len(inputs) > 1 else list(range(x.ndim))
    return torch.mean(x, dim=axes, keepdim=bool(attributes.get("keepdims", 1)))


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, shape = inputs
    zero = attributes.get("allowzero", 0)
    sizes = [x.shape[axis] if size == 0 and not zero else size for axis, size in enumerate(shape.tolist())]
    return x.reshape(sizes)


def _pad(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, pads = inputs[:2]
    value = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
    axes = inputs[3].tolist() if len(inputs) > 3 else list(range(x.ndim))
    if attributes.get("mode", "constant") != "constant":
        raise KeyError("Pad")
    flat = [0] * 2 * x.ndim
    for place, axis in enumerate(axes):
        for end in (0, 1):
            flat[2 * (x.ndim - 1 - axis % x.ndim) + end] = int(pads[place + end * len(axes)])
    return functional.pad(x, flat, value=value)


def _slice(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, starts, ends = inputs[:3]
    axes = inputs[3].tolist() if len(inputs) > 3 and inputs[3] is not None else list(range(len(starts)))
    steps = inputs[4].tolist() if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    places = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        places[axis] = slice(start, end, step)
    return x[tuple(places)]


def _split(inputs: Sequence[Any], attributes: Attributes) -> Any:
    x, axis = inputs[0], attributes.get("axis", 0)
    if len(inputs) > 1:
        return torch.split(x, inputs[1].tolist(), axis)
    return torch.split(x, -(-x.shape[axis] // attributes["num_outputs"]), axis)


def _normalize(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, scale, bias, mean, variance = inputs
    return functional.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _squeeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    return torch.squeeze(inputs[0]) if len(inputs) < 2 else torch.squeeze(inputs[0], tuple(inputs[1].tolist()))


def _unsqueeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    made = inputs[0]
    for axis in sorted(axis % (made.ndim + len(inputs[1])) for axis in inputs[1].tolist()):
        made = made.unsqueeze(axis)
    return made


def _divide(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, y = inputs
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _flatten(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, axis = inputs[0], attributes.get("axis", 1)
    return x.reshape(int(torch.tensor(x.shape[:axis]).prod()), -1)


def _gather(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, index = inputs
    axis = attributes.get("axis", 0) % x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index).to(x.device)
    return torch.index_select(x, axis, index.reshape(-1)).reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


OPERATIONS: dict[str, Operation] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Relu": lambda inputs, _: functional.relu(inputs[0]),
    "LeakyRelu": lambda inputs, own: functional.leaky_relu(inputs[0], own.get("alpha", 0.01)),
    "Clip": _clip,
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "HardSigmoid": lambda inputs, own: torch.clamp(own.get("alpha", 0.2) * inputs[0] + own.get("beta", 0.5), 0, 1),
    "HardSwish": lambda inputs, _: functional.hardswish(inputs[0]),
    "Softmax": lambda inputs, own: torch.softmax(inputs[0], own.get("axis", -1)),
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Div": _divide,
    "Max": lambda inputs, _: reduce(torch.maximum, inputs),
    "Min": lambda inputs, _: reduce(torch.minimum, inputs),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(dim=tuple(range(2, inputs[0].ndim)), keepdim=True),
    "ReduceMean": _reduce_mean,
    "BatchNormalization": _normalize,
    "Concat": lambda inputs, own: torch.cat(list(inputs), own["axis"]),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda inputs, own: inputs[0].permute(own.get("perm", list(range(inputs[0].ndim))[::-1])),
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "Identity": lambda inputs, _: inputs[0],
    "Shape": lambda inputs, own: torch.tensor(inputs[0].shape)[own.get("start", 0) : own.get("end", inputs[0].ndim)],
    "Gather": _gather,
}


def run_node(node: gs.Node, inputs: Sequence[Any]) -> list[Any]:
    """What a node makes, None for inputs that are left out."""
    made = OPERATIONS[node.op](inputs, node.attrs)
    return list(made) if isinstance(made, (tuple, list)) else [made]
