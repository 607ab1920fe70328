"""Step of gpu.py: the bandwidth of every kernel."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from gpu_setting import Setting
from onnx import TensorProto, helper, numpy_helper

from onnxq.runtime.one_operator import OPERATORS, model_of
from onnxq.runtime.sessions import session_options
from onnxq_cli.common import table

MEGABYTES = (1, 4, 16, 64, 256, 1024, 4096)
SMALL_MEGABYTES = (1,)
ODD_MEGABYTES, SMALL_ODD_MEGABYTES = 256, 1  # of planes that are no whole number of 16 bytes, and of rows of channels
CHANNELS = 64
TURNS = 7


def bandwidth(setting: Setting) -> tuple[Any, str]:
    """GB/s read and written (Observe: read), in turns with a copy on the device, over sizes and types."""
    report, rows = [], []
    for dtype in (np.float32, np.float16):
        for megabytes in SMALL_MEGABYTES if setting.small else MEGABYTES:
            values = megabytes * 1_000_000 // np.dtype(dtype).itemsize
            side = 128 if megabytes >= 64 else 32
            shapes = [(max(1, values // (CHANNELS * side * side)), CHANNELS, side, side)]
            if megabytes == (SMALL_ODD_MEGABYTES if setting.small else ODD_MEGABYTES):
                shapes += [(values // (CHANNELS * 49), CHANNELS, 7, 7), (values // 1000, 1000, 1, 1)]
            for name, shape in itertools.product(OPERATORS, shapes):
                if name == "Observe" and dtype != np.float32:
                    continue
                entry = measure(setting, name, shape, dtype)
                facts = {"operator": name, "dtype": np.dtype(dtype).name, "megabytes": megabytes, "shape": shape}
                report.append({**facts, **entry})
                speeds = [
                    f"{entry[label]:.0f}" if label in entry else "" for label in ("copy", "kernel", "body", "qdq")
                ]
                of_copy = f"{entry['kernel'] / entry['copy']:.2f}"
                plane = "x".join(map(str, shape[2:]))
                rows.append([f"{name} {np.dtype(dtype).name}", str(megabytes), plane, of_copy, *speeds])
    return report, table(["GB/s", "MB", "plane", "of copy", "copy", "kernel", "body", "Q/DQ"], rows)


def measure(setting: Setting, name: str, shape: tuple[int, ...], dtype: Any) -> dict[str, float]:
    """GB/s of the kernel and what it is compared with. Small tensors go through several operators in a row, so that the
    time of a call does not count; the copy is repeated as often.
    """
    x = setting.random(shape, dtype)
    other = setting.empty(shape, dtype)
    size = x.numel() * x.element_size()
    times = max(1, min(2 if setting.small else 32, 256_000_000 // size))
    traffic = times * size * (1 if name == "Observe" else 2)

    def copy() -> None:
        for _ in range(times):
            other.copy_(x)

    calls: dict[str, Callable[[], object]] = {"copy": copy}

    def add(label: str, model: onnx.ModelProto, native: bool) -> None:
        options = session_options(native=native)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it would leave out repetitions
        calls[label] = setting.bound(model, x, options=options)[0]

    add("kernel", model_of(name, shape, times, dtype), True)
    if size <= 1_100_000_000 and name != "Observe":  # a body has several tensors of this size
        add("body", model_of(name, shape, times, dtype), False)
        if name == "FakeQuantize" and dtype == np.float32:
            add("qdq", quantize_linear_model(shape, times), False)
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    for turn in range(3 if setting.small else TURNS + 2):
        for label, call in calls.items():
            setting.synchronize()
            started = time.perf_counter()
            call()
            setting.synchronize()
            if turn > 1:  # the first ones warm up
                seconds[label].append(time.perf_counter() - started)
    return {
        label: (2 * times * size if label == "copy" else traffic) / statistics.median(values) / 1e9
        for label, values in seconds.items()
    }


def quantize_linear_model(shape: Sequence[int], times: int = 1) -> onnx.ModelProto:
    """A pair of standard QuantizeLinear and DequantizeLinear, per tensor, so many times."""
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(7, np.uint8), "zero_point"),
    ]
    nodes = []
    for i in range(times):
        source, target = f"x{i}" if i else "x", f"x{i + 1}" if i + 1 < times else "y"
        nodes.append(helper.make_node("QuantizeLinear", [source, "scale", "zero_point"], [f"q{i}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{i}", "scale", "zero_point"], [target]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "qdq", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
