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
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.runtime.one_operator import OPERATORS, model_of
from onnxq.runtime.sessions import make_session, session_options
from onnxq_cli.common import table

SHAPE = (8, 64, 181, 181)  # 64 MiB of float32
CHANNELS = SHAPE[1]
BODY_TURNS = 5


def runner(name: str, native: bool, threads: int, x: NDArray[np.float32]) -> Callable[[], object]:
    """A call that runs the operator into memory that is there already."""
    options = session_options(native=native)
    options.intra_op_num_threads = threads
    session = make_session(model_of(name, SHAPE), options=options)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    for output in session.get_outputs():
        kind = np.int32 if output.name.startswith("histogram") else np.float32
        value = ort.OrtValue.ortvalue_from_shape_and_type([CHANNELS, 256] if kind == np.int32 else list(SHAPE), kind)
        binding.bind_ortvalue_output(output.name, value)
    return lambda: session.run_with_iobinding(binding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    import torch  # its copy runs on as many threads as the kernels

    torch.set_num_threads(args.threads)
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    source, target = torch.from_numpy(x), torch.empty(SHAPE)

    def copy() -> object:
        return target.copy_(source)

    report = {}
    rows = []
    for name in OPERATORS:
        calls = {
            "copy": copy,
            "kernel": runner(name, True, args.threads, x),
            "body": runner(name, False, args.threads, x),
        }
        times: dict[str, list[float]] = {label: [] for label in calls}
        for turn in range(args.turns + 1):
            for label, call in calls.items():
                if label == "body" and turn > BODY_TURNS:
                    continue
                started = time.perf_counter()
                call()
                if turn > 0:  # the first one warms up
                    times[label].append(time.perf_counter() - started)
        of_copy = statistics.median(a / b for a, b in zip(times["copy"], times["kernel"], strict=True))
        kernel, body = statistics.median(times["kernel"]), statistics.median(times["body"])
        report[name] = {"seconds": times, "of_copy": of_copy, "over_body": body / kernel}
        rows.append([name, f"{1e3 * kernel:.1f}", f"{of_copy:.2f}", f"{1e3 * body:.1f}", f"{body / kernel:.1f}"])
    print(f"{x.nbytes / 2**20:.0f} MiB float32 {list(SHAPE)}, {args.threads} threads, medians of {args.turns} turns\n")
    print(table(["", "kernel ms", "of copy's speed", "body ms", "body / kernel"], rows))
    if args.json:
        args.json.write_text(
            json.dumps({"bytes": x.nbytes, "threads": args.threads, "operators": report}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
