"""How accurate are the files? Methods by themselves and together, side by side over one pass of the test images.

    python benchmarks/accuracy.py TESTBED [--json FILE] [--only "default, renormalized"]
    python benchmarks/accuracy.py demo

TESTBED is a folder with models/*.onnx, cifar10/{calib,test} and imagenet500 (not part of the project); ``demo`` takes
the bundled model on the procedural images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from networks import report

from onnxq.recipe import POINTS, Recipe

WIDTHS = ((4, 4), (8, 4), (4, 8), (3, 3), (2, 4))


def recipes() -> dict[str, Recipe]:
    """What is compared: schemes at W8A8, and every method by itself and with the others at the widths of WIDTHS."""
    plain: dict[str, Any] = {"bit_alloc": "none", "weight_correction": "none", "bias_correction": "none"}
    published = {"scheme": "aciq-laplace", "bias_correction": "none", "published": True}
    methods: dict[str, dict[str, Any]] = {
        "naive, a range a tensor": {"scheme": "minmax", "act_granularity": "per-tensor", **plain},
        "minmax": {"scheme": "minmax", **plain},
        "percentile": {"scheme": "percentile", **plain},
        "entropy": {"scheme": "entropy", **plain},
        "mse": {"scheme": "mse", **plain},
        "aciq-gauss": {"scheme": "aciq-gauss", **plain},
        "aciq-laplace": {"scheme": "aciq-laplace", **plain},
        "aciq": plain,
        "aciq, bits a channel": {**plain, "bit_alloc": "both"},
        "aciq, weight correction": {**plain, "weight_correction": "mean"},
        "aciq, weight correction with variance": {**plain, "weight_correction": "mean-variance"},
        "aciq, bias correction": {**plain, "bias_correction": "statistics"},
        "default (all three)": {},
        "default, biases from images": {"bias_correction": "images"},
        "default, renormalized": {"renormalize": True},
        "default, variance too": {"weight_correction": "mean-variance"},
        "default, mse": {"scheme": "mse"},
        "default, k-means weights": {"weights": "kmeans"},
        "default, dynamic aciq-laplace": {"scheme": "aciq-laplace", "ranges": "dynamic"},
        "published, everything": published,
        "published, at outputs": {**published, "placement": "outputs"},
    }
    named = {"w8a8 default": Recipe.of(act_bits=8, weight_bits=8)}
    for weight_bits, act_bits in WIDTHS:
        for label, fields in methods.items():
            named[f"w{weight_bits}a{act_bits} {label}"] = Recipe.of(
                act_bits=act_bits, weight_bits=weight_bits, **fields
            )
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", metavar="TEXT", nargs="*", help="methods whose name ends with one of these")
    args = parser.parse_args()
    chosen = {label: recipe for label, recipe in recipes().items() if not args.only or label.endswith(tuple(args.only))}
    points = sorted({POINTS.name_of(recipe.resolved_points) for recipe in chosen.values()})
    report(args.source, chosen, points, args.json)


if __name__ == "__main__":
    main()
