"""The recipes that come with onnxq, on networks at hand.

    python benchmarks/published.py TESTBED [--json FILE]
    python benchmarks/published.py demo

TESTBED as in accuracy.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from networks import cases, measure

from onnxq.recipes import load_recipe, recipe_names
from onnxq_cli.eval import results_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = {}
    for case in cases(args.source):
        results = measure(case, {name: load_recipe(name) for name in recipe_names()}, ("inputs", "outputs"))
        print(f"\n{case.model.stem}: {results[0].images} images, calibrated on {case.calibration_images}\n")
        print(results_table(results), flush=True)
        report[case.model.stem] = [result.to_json() for result in results]
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
