"""Linear algebra of rounding by error feedback: numpy beside torch, float64, in one thread as there and in all.

    python benchmarks/linear_algebra.py [--json FILE]

A Cholesky factor of the moments of d inputs, and the solution of as many equations as a layer has output channels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from onnxq_cli.common import table

SIZES = ((576, 64), (1152, 256), (2304, 256), (4608, 512))
TURNS = 5


def seconds(work: Callable[[], Any]) -> float:
    """Median of some runs behind one that warms up."""
    work()
    found = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        for size, channels in SIZES:
            samples = np.random.default_rng(0).standard_normal((size, 2 * size))
            moments, wanted = samples @ samples.T, np.random.default_rng(1).standard_normal((size, channels))
            there, wanted_there = torch.from_numpy(moments), torch.from_numpy(wanted)
            with threadpool_limits(threads):
                by_numpy = seconds(lambda m=moments, w=wanted: (np.linalg.cholesky(m), np.linalg.solve(m, w)))  # type: ignore[misc]
                by_torch = seconds(lambda m=there, w=wanted_there: (torch.linalg.cholesky(m), torch.linalg.solve(m, w)))  # type: ignore[misc]
            rows.append({"threads": threads, "d": size, "channels": channels, "numpy": by_numpy, "torch": by_torch})
    cells = [
        [f"d = {row['d']}, {row['channels']} channels, {row['threads']} threads"]
        + [f"{1e3 * row[name]:.0f} ms" for name in ("numpy", "torch")]
        + [f"{row['torch'] / row['numpy']:.2f}"]
        for row in rows
    ]
    print(table(["", "numpy", "torch", "torch / numpy"], cells))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
