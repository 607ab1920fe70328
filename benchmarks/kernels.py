"""How fast are the CPU kernels? Against a copy of the same memory and against their function bodies, in turns.

python benchmarks/kernels.py [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from onnxq.grids.apot import levels_of
from onnxq.operators import DOMAIN, VERSION, observe, operator_function
from onnxq.runtime import make_session, session_options

SHAPE = (8, 64, 181, 181)  # 64 MiB of float32
CHANNELS = SHAPE[1]


def per_channel(name: str, values: NDArray[np.generic]) -> onnx.TensorProto:
    """A parameter of a quantizer."""
    return numpy_helper.from_array(values.reshape(1, -1, 1, 1), name)


SCALE = per_channel("scale", np.linspace(0.1, 0.3, CHANNELS, dtype=np.float32))
# operator -> its inputs but x, and its attributes
QUANTIZERS: dict[str, tuple[list[onnx.TensorProto], dict[str, int]]] = {
    "FakeQuantize": (
        [
            SCALE,
            per_channel("zero_point", np.full(CHANNELS, 7, np.float32)),
            numpy_helper.from_array(np.array(4, np.int32), "bits"),
        ],
        {},
    ),
    "FakeQuantizeMidTread": (
        [
            SCALE,
            per_channel("first", np.full(CHANNELS, -7, np.float32)),
            per_channel("last", np.full(CHANNELS, 7, np.float32)),
        ],
        {},
    ),
    "FakeQuantizeCodebook": ([SCALE, numpy_helper.from_array(levels_of("apot", 4, False), "levels")], {}),
    "FakeQuantizeFixedPoint": (
        [per_channel("fraction_bits", np.full(CHANNELS, 4, np.int32))],
        {"total_bits": 8, "rounding": 0, "overflow": 0},
    ),
}
OPERATORS = (*QUANTIZERS, "Observe")


def model_of(name: str) -> onnx.ModelProto:
    """A model of one node with constant per-channel parameters."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    if name == "Observe":
        constants: list[onnx.TensorProto] = []
        node = helper.make_node(name, ["x"], list(observe.OUTPUTS), domain=DOMAIN)
        outputs = [helper.make_tensor_value_info("histogram", TensorProto.INT32, [CHANNELS, 256])]
    else:
        constants, attributes = QUANTIZERS[name]
        node = helper.make_node(name, ["x", *(c.name for c in constants)], ["y"], domain=DOMAIN, **attributes)  # type: ignore[arg-type]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)]
    return helper.make_model(
        helper.make_graph([node], name, [x], outputs, constants),
        functions=[operator_function(name, 21)],
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=10,
    )


def runner(name: str, native: bool, threads: int, x: NDArray[np.float32]) -> Callable[[], object]:
    """A call that runs the operator into memory that is there already."""
    options = session_options(native=native)
    options.intra_op_num_threads = threads
    session = make_session(model_of(name), options=options)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    for output in session.get_outputs():
        kind = np.int32 if output.name == "histogram" else np.float32
        value = ort.OrtValue.ortvalue_from_shape_and_type([CHANNELS, 256] if kind == np.int32 else list(SHAPE), kind)
        binding.bind_ortvalue_output(output.name, value)
    return lambda: session.run_with_iobinding(binding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    import torch  # its copy runs on as many threads as the kernels

    torch.set_num_threads(args.threads)
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    source, target = torch.from_numpy(x), torch.empty(SHAPE)
    candidates: dict[str, Callable[[], object]] = {"copy": lambda: target.copy_(source)}
    for name in OPERATORS:
        candidates[f"{name} kernel"] = runner(name, True, args.threads, x)
        candidates[f"{name} body"] = runner(name, False, args.threads, x)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(args.turns + 1):
        for name, call in candidates.items():
            started = time.perf_counter()
            call()
            if turn > 0:  # the first one warms up
                times[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{x.nbytes / 2**20:.0f} MiB float32 {list(SHAPE)}, {args.threads} threads, median of {args.turns} turns")
    for name, value in median.items():
        print(f"  {name:29} {1e3 * value:8.1f} ms   {median['copy'] / value:5.2f} of the copy's speed")
    for name in OPERATORS:
        print(
            f"  {name}: the kernel is {median[f'{name} body'] / median[f'{name} kernel']:.1f} times as fast as the body"
        )
    if args.json:
        args.json.write_text(
            json.dumps({"bytes": x.nbytes, "threads": args.threads, "seconds": times}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
