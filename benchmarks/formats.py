"""Which number format at how many bits? Top-1 of schemes over bits, side by side over the test images.

    python benchmarks/formats.py TESTBED [--json FILE]
    python benchmarks/formats.py demo

TESTBED as in accuracy.py. Weights and activations have the same bits; the first and the last layer 8 (in fixed point
the same).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from networks import Case, cases, measure

from onnxq.evaluation.evaluate import Evaluation
from onnxq.recipe import Recipe
from onnxq.runtime.library import find_library
from onnxq_cli.common import table

BITS = (2, 3, 4, 5, 6, 8)
FIXED_POINT_BITS = (4, 6, 8, 10, 12, 16)
BIT_TRUE = ("resnet20_cifar10", "demo_mobilenet_v2")  # the others would take hours on a CPU

PER_TENSOR: dict[str, Any] = {"act_granularity": "per-tensor", "weight_granularity": "per-tensor"}
HANDWRITTEN = {
    **{"scheme": "percentile", "moving_average": True, "placement": "all-inputs", "weight_correction": "none"},
    **PER_TENSOR,
}
SCHEMES: dict[str, dict[str, Any]] = {
    "minmax, nothing else": {
        **{"scheme": "minmax", "bit_alloc": "none", "weight_correction": "none", "bias_correction": "none"}
    },
    "aciq (default)": {},
    "aciq, renormalized": {"renormalize": True},
    "percentile": {"scheme": "percentile"},
    "percentile, renormalized": {"scheme": "percentile", "renormalize": True},
    "percentile per tensor, all inputs, moving average": HANDWRITTEN,
    "the same, renormalized": {**HANDWRITTEN, "renormalize": True},
    "histogram": {"scheme": "histogram"},
    "apot": {"scheme": "apot"},
    "apot, renormalized": {"scheme": "apot", "renormalize": True},
    "apot weights, aciq activations": {"weights": "apot"},
    "apot activations, uniform weights": {"scheme": "apot", "weights": "uniform"},
    "pot": {"scheme": "pot"},
}
FIXED_POINT: dict[str, dict[str, Any]] = {
    "fixed point per tensor, every op": {"placement": "every-op", **PER_TENSOR},
    "fixed point per channel, every op": {"placement": "every-op"},
    "fixed point per channel, inputs": {},
    "fixed point per tensor, bit true": {"placement": "every-op", "bit_true": True, **PER_TENSOR},
}


def recipes(case: Case) -> dict[tuple[str, int], Recipe]:
    """By scheme and bits."""
    bit_true = case.model.stem in BIT_TRUE and find_library() is not None
    uniform = {
        (label, bits): Recipe.of(act_bits=bits, weight_bits=bits, **fields)
        for label, fields in SCHEMES.items()
        for bits in BITS
    }
    fixed = {
        (label, bits): Recipe.of("fixed-point", act_bits=bits, weight_bits=bits, **fields)
        for label, fields in FIXED_POINT.items()
        for bits in FIXED_POINT_BITS
        if bit_true or not fields.get("bit_true")
    }
    return uniform | fixed


def print_table(title: str, bits: tuple[int, ...], top1: dict[tuple[str, int], float], labels: list[str]) -> None:
    """Schemes by bits."""
    rows = [[label, *(f"{top1[label, b]:.2f}" for b in bits)] for label in labels if (label, bits[0]) in top1]
    print(f"\n{title}\n\n{table(['top-1 % by bits', *map(str, bits)], rows)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {}
    for case in cases(args.source):
        asked = recipes(case)
        named = {f"{label}: {bits}": recipe for (label, bits), recipe in asked.items()}
        results: list[Evaluation] = measure(case, named, ("inputs", "all-inputs", "every-op"))
        top1 = {key: result.top1 for key, result in zip(asked, results[1:], strict=True)}
        title = f"{case.model.stem}: float {results[0].top1:.2f}, {results[0].images} images"
        print_table(title, BITS, top1, list(SCHEMES))
        print_table(title, FIXED_POINT_BITS, top1, list(FIXED_POINT))
        report[case.model.stem] = [result.to_json() for result in results]
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
