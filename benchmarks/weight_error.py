"""How near are additive powers of two to trained weights? Their squared error over that of the full-range uniform grid.

    python benchmarks/weight_error.py TESTBED [--json FILE]
    python benchmarks/weight_error.py demo

Of every Conv weight, without corrections. TESTBED as in accuracy.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from networks import cases
from numpy.typing import NDArray

from onnxq.decide.weights import quantize_alone
from onnxq.graph.analysis import layers_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import load_model
from onnxq.graph.normalize import normalize
from onnxq.recipe import Recipe
from onnxq_cli.common import table

BITS = (3, 4)
GRANULARITIES = ("per-tensor", "per-channel")


def squared_error(weight: NDArray[np.float32], form: str, granularity: str, bits: int) -> float:
    """Mean squared error of one weight."""
    options = {"weight_granularity": granularity, "weight_correction": "none", "bit_alloc": "none"}
    quantized = quantize_alone(weight, Recipe.of(weights=form, weight_bits=bits, **options)).dequantized()
    return float(np.square(quantized - weight, dtype=np.float64).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows, report = [], {}
    for case in cases(args.source):
        graph = to_graph(load_model(case.model))
        normalize(graph)
        weights = [layer.weight for layer in layers_of(graph) if layer.op == "Conv"]
        for granularity in GRANULARITIES:
            for bits in BITS:
                ratios = [
                    squared_error(weight, "apot", granularity, bits)
                    / squared_error(weight, "uniform", granularity, bits)
                    for weight in weights
                ]
                nearer = sum(ratio < 1 for ratio in ratios)
                label = f"{case.model.stem}, {granularity}, {bits} bits"
                rows.append([label, f"{statistics.mean(ratios):.2f}", f"{nearer} of {len(ratios)}"])
                report[label] = ratios
    print(table(["apot / uniform", "mean", "nearer"], rows))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
